import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Batcher } from '#lib/async/batcher.ts'
import type { Metrics } from '#infra/metrics.ts'
import type { MessageChannel, MessageFormat } from '#lib/flow/types.ts'
import { redactText } from '#lib/secrets/redact.ts'
import { textToHtml } from '#lib/template/index.ts'
import type { AiClient } from './ai-client.ts'
import { detailOf, type Fallback, fallback } from './fallback.ts'
import { type PromptSource, writePrompt } from './prompt.ts'
import { findMessage, type MessageKey, type NewMessage, type RecordedMessage } from './repository.ts'

export interface ComposerContext {
  /** To look whether it is recorded already. */
  db: Kysely<DB>
  /** Gathers what is recorded at the same time, durably: it is about to be sent. */
  records: Batcher<NewMessage, { message: RecordedMessage; isNew: boolean }>
  /** Null: there is no AI_BASE_URL. */
  ai: AiClient | null
  /** Those that may be asked, the default first. */
  models: readonly string[]
  /** Secrets of this service's configuration, which nobody may read. */
  secrets: readonly string[]
  metrics: Metrics
  /** The names of errors in figures. */
  codes: CodeNames
  log: FastifyBaseLogger
}

export interface PromptDraft extends Omit<PromptSource, 'channel'> {
  /** Null: the default. */
  model: string | null
  maxTokens: number
}

/** A message by its templates, filled in. */
export interface MessageDraft {
  channel: MessageChannel
  to: string | null
  subject: string | null
  /** With `ai`, the stand-in for its text. */
  body: string
  /** Text, if it is left out. */
  format?: MessageFormat
  ai: PromptDraft | null
}

/** In characters. An SMS of this length is sent in ten parts. */
const TEXT_MAX_CHARS: Readonly<Record<MessageChannel, number>> = {
  email: 32_768,
  sms: 1_530,
  notification: 4_000,
}

/** The message under this key: as it was recorded, else written and recorded now. Throws only if Postgres does. */
export async function composeMessage(
  ctx: ComposerContext,
  key: MessageKey,
  draft: MessageDraft,
): Promise<RecordedMessage> {
  const { channel, to, subject, format = 'text' } = draft
  if (draft.ai !== null) {
    const known = await findMessage(ctx.db, key)
    if (known !== null) return known
  }
  const written = await write(ctx, key, draft)
  const { message, isNew } = await ctx.records.add({
    key,
    message: { channel, to, subject, format, ...written },
  })
  if (isNew) {
    ctx.metrics.messages.inc({ source: message.source, fallback_reason: message.fallback_reason ?? '' })
  }
  return message
}

type Written = Pick<RecordedMessage, 'body' | 'source' | 'model' | 'fallback_reason' | 'fallback_detail'>

async function write(ctx: ComposerContext, key: MessageKey, draft: MessageDraft): Promise<Written> {
  const template = { body: draft.body, source: 'template' as const, model: null }
  if (draft.ai === null) return { ...template, fallback_reason: null, fallback_detail: null }
  const model = draft.ai.model ?? ctx.models[0] ?? ''
  const answer = await ask(ctx, key, draft.channel, draft.ai, model)
  if ('text' in answer) {
    const body = draft.format === 'html' ? textToHtml(answer.text) : answer.text
    return { body, source: 'ai', model, fallback_reason: null, fallback_detail: null }
  }
  const { reason, provider } = answer
  const told = detailOf(answer)
  const detail = told === null ? null : redactText(told, ctx.secrets)
  if (reason !== 'not_configured') {
    const { tenantId: tenant_id, executionId: execution_id, stepId: step_id } = key
    ctx.log.warn({ tenant_id, execution_id, step_id, reason, detail }, 'message written by its template')
  }
  if (provider !== undefined) {
    ctx.metrics.aiErrors.inc({ status: provider.status ?? '', code: ctx.codes.name(provider.code) })
  }
  return { ...template, fallback_reason: reason, fallback_detail: detail }
}

async function ask(
  ctx: ComposerContext,
  { tenantId }: MessageKey,
  channel: MessageChannel,
  { maxTokens, ...draft }: PromptDraft,
  model: string,
): Promise<{ text: string } | Fallback> {
  if (ctx.ai === null) return fallback('not_configured', 'there is no AI_BASE_URL')
  if (!ctx.models.includes(model)) return fallback('model_not_allowed', 'AI_MODEL does not list the model')
  const prompt = writePrompt({ channel, ...draft }, ctx.secrets)
  if (prompt === null) return fallback('invalid_prompt', 'a value is missing, or the prompt is too long')
  const answer = await ctx.ai.ask({ tenantId, model, maxTokens, prompt })
  if (!('text' in answer)) return answer
  const text = redactText(answer.text, ctx.secrets)
  if (text.length > TEXT_MAX_CHARS[channel]) return fallback('too_long', `${text.length} characters`)
  return { text }
}

/** Keeps the figures few, whatever the API calls its errors. */
export class CodeNames {
  readonly #known = new Set<string>()
  readonly #most: number

  constructor(most = 50) {
    this.#most = most
  }

  name(code: string | null): string {
    if (code === null) return ''
    if (this.#known.size < this.#most) this.#known.add(code)
    return this.#known.has(code) ? code : 'other'
  }
}
