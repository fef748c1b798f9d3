import type { FlowProblem } from '#lib/flow/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { AutomationContext } from './context.ts'
import type { BuiltFlow, Place } from './definition.ts'
import { automationInvalid } from './errors.ts'

/**
 * Compiles the flow of an automation, and says what is wrong by the automation's own fields.
 * @returns warnings
 * @throws `automation_invalid`
 */
export async function checkFlow(
  { flows }: AutomationContext,
  tenantId: string,
  { definition, places }: BuiltFlow,
): Promise<FieldError[]> {
  const { flow, problems } = await flows.compile(tenantId, definition)
  const fields = (severity: FlowProblem['severity']): FieldError[] =>
    unique(problems.filter((problem) => problem.severity === severity).map((each) => ofField(each, places)))
  if (flow === null) throw automationInvalid(undefined, { errors: fields('error') })
  return fields('warning')
}

function ofField({ pointer, message }: FlowProblem, places: readonly Place[]): FieldError {
  const place = places.find(([prefix]) => pointer === prefix || pointer.startsWith(`${prefix}/`))
  if (place === undefined) return { pointer: '', detail: message }
  const [prefix, field] = place
  // Within a text there is no further place to name.
  const below = KEEPS_PLACES.includes(field) ? pointer.slice(prefix.length) : ''
  return { pointer: field + below, detail: message }
}

const KEEPS_PLACES = ['/conditions', '/action/input']

/** The same condition stands at each of the triggers. */
function unique(errors: FieldError[]): FieldError[] {
  return [...new Map(errors.map((error) => [`${error.pointer} ${error.detail}`, error])).values()]
}
