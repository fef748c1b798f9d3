import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { sampleOf } from '#lib/schema/sample-schema.ts'
import type { RunCalls } from '../run/ports.ts'
import type { CallResult, Rehearsal, SampleAction } from '../steps/call.ts'
import type { SimulatedJournal } from './journal.ts'
import type { Mocks } from './mocks.ts'
import type { SimulationRequest } from './types.ts'

/** Codes of what may pass by itself, whoever was asked; a 4xx may be one of them, which its code does not say. */
const PASSING_CODES = new Set([
  ...['dns_error', 'connect_refused', 'connect_timeout', 'tls_error', 'timeout', 'reset', 'protocol_error'],
  ...['http_5xx', 'breaker_open', 'plugin_inactive'],
])

/** Answers calls by what was given for them, and sends none. */
export function simulatedCalls(
  mocks: Mocks,
  journal: SimulatedJournal,
  outputSchemaOf: SimulationRequest['outputSchemaOf'],
): RunCalls {
  /** Attempts that have failed, by call. */
  const failures = new Map<string, number>()
  const sample: SampleAction = ({ action_type, plugin_id }) => {
    const schema = outputSchemaOf(action_type, plugin_id)
    return schema === null
      ? { output: {}, note: 'the output is empty: the action declares none' }
      : { output: sampleOf(schema), note: 'the output is made up from the action’s output_schema' }
  }
  return {
    send: async (call) => {
      journal.checkTime()
      const { stepId, iteration } = call.name
      const place = `${stepId}:${iteration}`
      const failed = failures.get(place) ?? 0
      const { intent: would } = call
      const rehearsal = call.rehearse(sample)
      if (rehearsal.input !== undefined) call.input = rehearsal.input
      const error = mocks.find(stepId, iteration, 'error')
      if (error !== undefined && failed < (error.times ?? Infinity)) {
        const { code, message, transient = PASSING_CODES.has(code) } = error
        failures.set(place, failed + 1)
        journal.remark(call.name, { would, note: 'the error was given' })
        return {
          kind: 'failure',
          code,
          message,
          transient,
          answered: true,
          away: false,
          retryAfterMs: null,
        }
      }
      failures.delete(place)
      const given = mocks.find(stepId, iteration, 'output')
      const note = given === undefined ? rehearsal.note : 'the output was given'
      journal.remark(call.name, { would, note })
      return success(rehearsal, given)
    },
    completed: () => Promise.resolve(null),
  }
}

/** Returns what was given, or else what was made up: of a message, say, only the text of an AI may be given. */
function success({ output, isMergeable }: Rehearsal, given: unknown): CallResult {
  if (given === undefined) return { kind: 'success', output }
  const isPart = isMergeable === true && isPlainObject(given) && isPlainObject(output)
  return { kind: 'success', output: isPart ? { ...output, ...given } : given }
}
