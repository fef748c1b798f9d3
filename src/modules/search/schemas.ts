import { type Static, Type } from '@sinclair/typebox'
import { StringEnum } from '#lib/api/schema.ts'

/** Hits of one answer at most. */
export const MAX_HITS = 20

const KINDS = [
  'plugin',
  'flow',
  'event_type',
  'event',
  'execution',
  'delivery',
  'message',
  'call',
  'audit_entry',
] as const

export const SearchQuery = Type.Object(
  {
    q: Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '\\S',
      description: "An id or a recipient, or the beginning of a name, slug, caller's own id or enrolment key",
      examples: ['order-17'],
    }),
  },
  { additionalProperties: false },
)

const Hit = Type.Object({
  kind: StringEnum(KINDS),
  id: Type.String({ description: 'What the API names it by: an id, a slug, or the name of an event type' }),
  title: Type.String({ description: 'What people call it' }),
  path: Type.String({ description: "Its page below the console's address", examples: ['/plugins/email'] }),
})
export type Hit = Static<typeof Hit>

export const SearchResult = Type.Object(
  {
    data: Type.Array(Hit, { description: `At most ${MAX_HITS}, by kind` }),
    complete: Type.Boolean({
      description: 'False: there are more, or a second was over before all kinds were looked through',
    }),
  },
  { $id: 'SearchResult' },
)
export type SearchResult = Static<typeof SearchResult>
