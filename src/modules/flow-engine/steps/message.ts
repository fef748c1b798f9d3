import { nextOpening } from '#lib/calendar.ts'
import type { MessageStep } from '#lib/flow/steps/message.ts'
import type { MessageFormat } from '#lib/flow/types.ts'
import { zoneOf } from '#lib/flow/zone.ts'
import type { MessageDraft, RecordedMessage } from '#modules/message/index.ts'
import { render, renderHtmlText, renderText, StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { dispatchFlowAction } from './action-call.ts'
import { callRunner } from './call-runner.ts'
import type { Call, CallRequest, CallResult } from './call.ts'
import { actionTarget } from './target.ts'

/** A message as the flow's own templates make it. */
interface TemplateMessage {
  channel: MessageStep['config']['channel']
  to: string | null
  subject: string | null
  body: string
  format: MessageFormat
}

/** The output of a message step; `message_id` null: nothing was recorded. */
interface MessageOutput extends TemplateMessage {
  message_id: string | null
  source: 'template' | 'ai'
  model: string | null
  fallback_reason: string | null
  fallback_detail: string | null
  /** Of the action that sent it. */
  result: unknown
}

const RECIPIENT_MAX_CHARS = 1_000

export const messageRunner = callRunner<MessageStep>(messageCall, opensAt)

/**
 * Finds the time at which a message may be sent, by the flow's send window and the tenant's quiet hours; null: at any.
 * @throws {StepError} if it may never be sent
 */
function opensAt({ program, scope, clock }: Frame, { step }: Position<MessageStep>): number | null {
  const { send_window: window = null } = program.flow.settings
  const quiet = step.config.respect_quiet_hours === true
  if (window === null && !quiet) return null
  const opening = nextOpening(clock(), scope.calendar, { window, quiet })
  if (opening !== null) return opening
  throw new StepError('send_window_closed', 'No time of the send window lies outside of the quiet hours.')
}

/**
 * Writes the message without any AI, and records nothing: what a test of the flow shows, and what stands in.
 * @throws {StepError} `template_error`, `missing_recipient`, `invalid_recipient` or `empty_message`
 */
function composeFromTemplate({
  program,
  step: { config },
  scope,
  asOf,
}: CallRequest<MessageStep>): TemplateMessage {
  const text = (template: string): string => renderText(program, template, scope, asOf).toWellFormed()
  const to = config.to === null ? null : text(config.to).trim()
  if (to === '') throw new StepError('missing_recipient', 'The recipient came out empty.')
  if (to !== null && (to.length > RECIPIENT_MAX_CHARS || /\p{Cc}/u.test(to))) {
    throw new StepError('invalid_recipient', 'The recipient is not one line of text.')
  }
  // Postgres keeps no NUL. A subject is one line: mail headers end where it does.
  const { format = 'text' } = config
  const written = format === 'html' ? renderHtmlText(program, config.body, scope, asOf) : text(config.body)
  const body = written.toWellFormed().replaceAll('\0', '')
  if (body.trim() === '') throw new StepError('empty_message', 'The text of the message came out empty.')
  const subject =
    config.subject === null
      ? null
      : text(config.subject)
          .replace(/\p{Cc}+/gu, ' ')
          .trim()
  return { channel: config.channel, to, subject, body, format }
}

/** Fills in what the action that sends is given. @throws {StepError} `template_error` */
function messagePayload(
  { program, step, name: { stepId }, scope, asOf }: CallRequest<MessageStep>,
  output: Omit<MessageOutput, 'result'>,
): Record<string, unknown> {
  const own = { ...scope, steps: { ...scope.steps, [stepId]: { output } } }
  return render(program, step.config.send_with.input, own, asOf) as Record<string, unknown>
}

/**
 * Fills in the call of a message: it is written and recorded, then sent. Whoever repeats it finds the record and sends
 * the same. @throws {StepError}
 */
function messageCall(request: CallRequest<MessageStep>): Call {
  const { program, step, name, scope, asOf } = request
  const { send_with, ai } = step.config
  const { action_type, plugin_id } = send_with
  const template = composeFromTemplate(request)
  const draft: MessageDraft = { ...template, ai: null }
  if (ai !== null) {
    const { prompt, model, max_tokens: maxTokens } = ai
    draft.ai = {
      template: program.template(prompt),
      scope,
      now: asOf,
      zone: zoneOf(scope),
      flow: program.flow,
      model,
      maxTokens,
    }
  }
  const call: Call = {
    name,
    target: actionTarget(send_with),
    input: template,
    intent: {
      kind: 'message',
      channel: template.channel,
      to: template.to,
      asks_ai: ai !== null,
      action_type,
      plugin_id,
    },
    async send(ctx, eventDepth, mayHaveRun) {
      const output = toOutput(await ctx.messages.compose(name, draft))
      // None is recorded without a text: an erasure came between two attempts.
      if (output.body === '')
        throw new StepError('message_erased', 'The message was erased before it was sent.')
      const payload = messagePayload(request, output)
      call.input = payload
      const action = { config: send_with, timeout_ms: step.timeout_ms }
      const cause = { scope, eventDepth }
      return withMessage(output, await dispatchFlowAction(ctx, name, action, payload, cause, mayHaveRun))
    },
    async conclude(ctx, result) {
      const message = await ctx.messages.find(name)
      if (message === null) return result
      const output = toOutput(message)
      call.input = messagePayload(request, output)
      return withMessage(output, result)
    },
    rehearse(sample) {
      const output = templateOutput(template, sample(send_with).output)
      return {
        input: messagePayload(request, output),
        output,
        note: ai === null ? 'the message was not sent' : 'the text is the template’s: no AI was asked',
        isMergeable: true,
      }
    },
  }
  return call
}

/** Says what the step would give with the template's text, if sending it gave `result`. */
function templateOutput(message: TemplateMessage, result: unknown): MessageOutput {
  const none = { model: null, fallback_reason: null, fallback_detail: null }
  return { message_id: null, ...message, source: 'template', ...none, result }
}

function toOutput({ id, ...message }: RecordedMessage): Omit<MessageOutput, 'result'> {
  return { message_id: id, ...message }
}

function withMessage(output: Omit<MessageOutput, 'result'>, result: CallResult): CallResult {
  return result.kind === 'success'
    ? { kind: 'success', output: { ...output, result: result.output } }
    : result
}
