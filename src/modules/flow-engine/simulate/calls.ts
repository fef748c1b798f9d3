import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { sampleOf } from '#lib/schema/sample-schema.ts'
import type { Call, CallResult } from '../steps/types.ts'
import type { TemplateMessage } from '../steps/message-call.ts'
import type { RunCalls } from '../run/ports.ts'
import type { SimulatedJournal } from './journal.ts'
import type { Mocks } from './mocks.ts'
import type { SimulationRequest, Would } from './types.ts'

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
  return {
    send: async (call) => {
      journal.checkTime()
      const { stepId, iteration } = call.name
      const place = `${stepId}:${iteration}`
      const failed = failures.get(place) ?? 0
      const would = wouldOf(call)
      const { output: madeUp, note } = makeUp(call, would, outputSchemaOf)
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
      journal.remark(call.name, { would, note: given === undefined ? note : 'the output was given' })
      return success(would, given, madeUp)
    },
    completed: () => Promise.resolve(null),
  }
}

/** Of a message, what is given stands in for parts of it: only the text of an AI, say. */
function success(would: Would, given: unknown, madeUp: unknown): CallResult {
  if (given === undefined) return { kind: 'success', output: madeUp }
  const isPart = would.kind === 'message' && isPlainObject(given) && isPlainObject(madeUp)
  return { kind: 'success', output: isPart ? { ...madeUp, ...given } : given }
}

/** An output for a call that is not made; what it would have sent stands in its input. @throws {StepError} */
function makeUp(
  call: Call,
  would: Would,
  outputSchemaOf: SimulationRequest['outputSchemaOf'],
): { output: unknown; note: string } {
  if (would.kind === 'wait' || would.kind === 'http') {
    return { output: { status: 200, body: {} }, note: 'the output is made up' }
  }
  const schema = outputSchemaOf(would.action_type, would.plugin_id)
  const result = schema === null ? {} : sampleOf(schema)
  if (call.rehearse !== undefined) {
    const { input, output } = call.rehearse(result)
    call.input = input
    const asksAi = would.kind === 'message' && would.asks_ai
    return {
      output,
      note: asksAi ? 'the text is the template’s: no AI was asked' : 'the message was not sent',
    }
  }
  const note =
    schema === null
      ? 'the output is empty: the action declares none'
      : 'the output is made up from the action’s output_schema'
  return { output: result, note }
}

function wouldOf({ step, input }: Call): Would {
  if (step.type === 'http') {
    const { method, url } = input as { method: string; url: string }
    return { kind: 'http', method, url }
  }
  if (step.type === 'message') {
    const { channel, to } = input as TemplateMessage
    const { action_type, plugin_id } = step.config.send_with
    return { kind: 'message', channel, to, asks_ai: step.config.ai !== null, action_type, plugin_id }
  }
  const { action_type, plugin_id } = step.config
  return { kind: 'action', action_type, plugin_id }
}
