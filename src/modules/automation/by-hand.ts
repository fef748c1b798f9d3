import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import type { AutomationTrigger } from './fields.ts'
import { NEEDED, subjectOf } from './record.ts'

/** The trigger by which somebody starts it: it takes what the event would have told. */
export function manualTrigger(trigger: AutomationTrigger, eventType: string | undefined): object {
  const needed = NEEDED[subjectOf(trigger)]
  const schema: SafeSchema = CATALOGUE.get(eventType ?? '')?.schema ?? {}
  return { id: 'by_hand', type: 'manual', input_schema: { ...hintOf(schema, needed), required: [...needed] } }
}

/** Where members are, for templates; the platform's records need not have each in the form that events have it. */
function hintOf({ properties = {} }: SafeSchema, exact: readonly string[]): SafeSchema {
  const hints = Object.entries(properties).map(([name, schema]): [string, SafeSchema] => {
    if (exact.includes(name)) return [name, schema]
    return [name, schema.properties === undefined ? {} : nested(schema)]
  })
  return { type: 'object', properties: Object.fromEntries(hints) }
}

function nested(schema: SafeSchema): SafeSchema {
  const { properties = {} } = hintOf(schema, [])
  return { properties }
}
