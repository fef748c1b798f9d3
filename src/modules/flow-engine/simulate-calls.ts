import { sampleOf } from '../../lib/sample-schema.ts'
import type { Call, CallResult } from './calls.ts'
import { type TemplateMessage, templateOutput } from './message-call.ts'
import type { RunCalls } from './ports.ts'
import type { SimulatedJournal } from './simulate-journal.ts'
import type { Mocks } from './simulate-mocks.ts'
import type { SimulationRequest, Would } from './simulate-types.ts'

/** Answers calls by what was given for them, and sends none. */
export function simulatedCalls(
  mocks: Mocks,
  journal: SimulatedJournal,
  outputSchemaOf: SimulationRequest['outputSchemaOf'],
): RunCalls {
  return {
    send: (call) => Promise.resolve(answer(call, mocks, journal, outputSchemaOf)),
    completed: () => Promise.resolve(null),
  }
}

function answer(
  call: Call,
  mocks: Mocks,
  journal: SimulatedJournal,
  outputSchemaOf: SimulationRequest['outputSchemaOf'],
): CallResult {
  const { stepId, iteration } = call.name
  const would = wouldOf(call)
  const error = mocks.find(stepId, iteration, 'error')
  if (error !== undefined) {
    journal.remark(call.name, { would, note: 'the error was given' })
    return { kind: 'failure', ...error, transient: false, retryAfterMs: null }
  }
  const given = mocks.find(stepId, iteration, 'output')
  if (given !== undefined) {
    journal.remark(call.name, { would, note: 'the output was given' })
    return { kind: 'success', output: given }
  }
  if (would.kind === 'http') {
    journal.remark(call.name, { would, note: 'the output is made up' })
    return { kind: 'success', output: { status: 200, body: {} } }
  }
  const schema = would.kind === 'wait' ? null : outputSchemaOf(would.action_type, would.plugin_id)
  const result = schema === null ? {} : sampleOf(schema)
  if (would.kind === 'message') {
    const note = would.asks_ai ? 'the text is the template’s: no AI was asked' : 'the message was not sent'
    journal.remark(call.name, { would, note })
    return { kind: 'success', output: templateOutput(call.input as TemplateMessage, result) }
  }
  const note =
    schema === null
      ? 'the output is empty: the action declares none'
      : 'the output is made up from the action’s output_schema'
  journal.remark(call.name, { would, note })
  return { kind: 'success', output: result }
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
