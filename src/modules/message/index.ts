/**
 * The messages that flows write: to customers, or to the people who run the shop.
 *
 * Owns `automation_messages` and the connection to AI_BASE_URL. What always holds:
 * - A message is composed once and recorded before anybody sends it: composing it again gives the record.
 * - An AI that is not there, is slow or answers badly costs the message nothing but its wording: its template is used,
 *   and the message says why.
 * - No prompt holds a value under a secret-looking name, a key of ours, or a secret of this service's configuration.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '#config/config.ts'
import { Batcher } from '#lib/async/batcher.ts'
import { openAiClient } from './ai-client.ts'
import { CodeNames, type ComposerContext, composeMessage, type MessageDraft } from './composer.ts'
import { findMessage, type MessageKey, type RecordedMessage, recordMessages } from './repository.ts'
import { messageRoutes } from './routes.ts'
import { Message, MessagePage } from './schemas.ts'

export interface MessageService {
  compose(key: MessageKey, draft: MessageDraft): Promise<RecordedMessage>
  /** Returns the message that was recorded; null: there is none. */
  find(key: MessageKey): Promise<RecordedMessage | null>
}

export { openAiClient } from './ai-client.ts'
export { detailOf } from './fallback.ts'
export type { MessageDraft } from './composer.ts'
export type { MessageKey, RecordedMessage } from './repository.ts'

declare module 'fastify' {
  interface FastifyInstance {
    messages: MessageService
  }
}

/** Messages that one statement records: a text may have 256 KB. */
const RECORD_MAX = 50

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const opened = openAiClient(config)
    if (opened !== null) app.addHook('onClose', () => opened.close())
    const ctx: ComposerContext = {
      db: app.workerDb,
      // Not by the workers' pool, whose commits do not wait for the disk: a sent message must be known even if
      // Postgres itself breaks down. One statement at a time takes one connection from the requests, however many are
      // written.
      records: new Batcher({
        max: RECORD_MAX,
        concurrency: 1,
        flush: (records) => recordMessages(app.db, records),
      }),
      ai: opened?.client ?? null,
      models: config.ai.models,
      secrets: [
        config.ai.apiKey,
        ...Object.values(config.ai.headers),
        config.platform.token,
        config.platformKey,
      ].filter((each) => each !== null),
      metrics: app.metrics,
      codes: new CodeNames(),
      log: app.log,
    }
    app.apiDocument.addTag('messages', 'What automations wrote to customers and to the shop')
    app.decorate('messages', {
      compose: (key, draft) => composeMessage(ctx, key, draft),
      find: (key) => findMessage(app.workerDb, key),
    } satisfies MessageService)
    for (const schema of [Message, MessagePage]) app.addSchema(schema)
    await app.register(async (routes) => messageRoutes(routes, { db: app.db }))
  },
  { name: 'message', dependencies: ['db', 'metrics'] },
)
