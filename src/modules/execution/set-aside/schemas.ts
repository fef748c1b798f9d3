import { Type } from '@sinclair/typebox'
import { Page, ref, Timestamp } from '#lib/api/schema.ts'

export const SetAsideEvent = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: "The event's" }),
    event: Type.String({ description: 'Its type' }),
    received_at: Timestamp,
    reason: Type.String({ description: 'Why no flow has seen it' }),
    times: Type.Integer({ description: 'How often it was set aside' }),
    set_aside_at: Timestamp,
    is_taken_up: Type.Boolean({ description: 'It is to be matched again, before anything newer' }),
  },
  { $id: 'SetAsideEvent', description: 'An event by which matching failed again and again' },
)

export const SetAsidePage = Page(ref(SetAsideEvent), 'SetAsidePage')

export const SetAsideParams = Type.Object({ id: Type.String({ format: 'uuid', maxLength: 36 }) })
