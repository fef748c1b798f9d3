import type { FlowScope } from '#lib/flow/scope.ts'
import type { MessageFormat, MessageStep } from '#lib/flow/types.ts'
import type { MessageDraft, RecordedMessage } from '#modules/message/index.ts'
import { actionTarget } from './target.ts'
import type { Call, CallContext, CallName, CallResult } from './types.ts'
import { render, renderHtmlText, renderText, StepError, zoneOf } from '../run/evaluate.ts'
import type { Program } from '../run/program.ts'

/** A message as the flow's own templates make it. */
export interface TemplateMessage {
  channel: MessageStep['config']['channel']
  to: string | null
  subject: string | null
  body: string
  format: MessageFormat
}

/** What a message step gives; `message_id` null: nothing was recorded. */
export interface MessageOutput extends TemplateMessage {
  message_id: string | null
  source: 'template' | 'ai'
  model: string | null
  fallback_reason: string | null
  fallback_detail: string | null
  /** Of the action that sent it. */
  result: unknown
}

/** Does the action that sends. */
export type SendAction = (
  ctx: CallContext,
  payload: Record<string, unknown>,
  eventDepth: number,
  mayHaveRun: boolean,
) => Promise<CallResult>

const RECIPIENT_MAX_CHARS = 1_000

/**
 * The message without any AI, and without recording anything: what a test of the flow shows, and what stands in.
 * @throws {StepError} `template_error`, `missing_recipient`, `invalid_recipient` or `empty_message`
 */
function composeFromTemplate(
  program: Program,
  { config }: MessageStep,
  scope: FlowScope,
  asOf: Date,
): TemplateMessage {
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

/** What the action that sends is given. @throws {StepError} `template_error` */
function messagePayload(
  program: Program,
  step: MessageStep,
  stepId: string,
  output: Omit<MessageOutput, 'result'>,
  scope: FlowScope,
  asOf: Date,
): Record<string, unknown> {
  const own = { ...scope, steps: { ...scope.steps, [stepId]: { output } } }
  return render(program, step.config.send_with.input, own, asOf) as Record<string, unknown>
}

/**
 * The call of a message step: the message is written and recorded, then sent. Whoever repeats it finds the record and
 * sends the same. @throws {StepError}
 */
export function messageCall(
  program: Program,
  step: MessageStep,
  name: CallName,
  scope: FlowScope,
  asOf: Date,
  send: SendAction,
): Call {
  const template = composeFromTemplate(program, step, scope, asOf)
  const draft: MessageDraft = { ...template, ai: null }
  const { ai } = step.config
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
    step,
    target: actionTarget(step.config.send_with),
    input: template,
    async send(ctx, eventDepth, mayHaveRun) {
      const output = toOutput(await ctx.messages.compose(name, draft))
      // None is recorded without a text: an erasure came between two attempts.
      if (output.body === '')
        throw new StepError('message_erased', 'The message was erased before it was sent.')
      const payload = messagePayload(program, step, name.stepId, output, scope, asOf)
      call.input = payload
      return withMessage(output, await send(ctx, payload, eventDepth, mayHaveRun))
    },
    async conclude(ctx, result) {
      const message = await ctx.messages.find(name)
      if (message === null) return result
      const output = toOutput(message)
      call.input = messagePayload(program, step, name.stepId, output, scope, asOf)
      return withMessage(output, result)
    },
    rehearse(result) {
      const output = templateOutput(template, result)
      return { input: messagePayload(program, step, name.stepId, output, scope, asOf), output }
    },
  }
  return call
}

/** What the step would give with the template's text, if sending it gave `result`. */
function templateOutput(message: TemplateMessage, result: unknown): MessageOutput {
  const none = { model: null, fallback_reason: null, fallback_detail: null }
  return { message_id: null, ...message, source: 'template', ...none, result }
}

function toOutput({ id, ...message }: RecordedMessage): Omit<MessageOutput, 'result'> {
  const { channel, to, subject, body, format, source, model, fallback_reason, fallback_detail } = message
  return {
    message_id: id,
    channel,
    to,
    subject,
    body,
    format,
    source,
    model,
    fallback_reason,
    fallback_detail,
  }
}

function withMessage(output: Omit<MessageOutput, 'result'>, result: CallResult): CallResult {
  return result.kind === 'success'
    ? { kind: 'success', output: { ...output, result: result.output } }
    : result
}
