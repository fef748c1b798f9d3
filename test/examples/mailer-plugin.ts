import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { Webhook } from 'standardwebhooks'
import type { Test } from 'tap'
import type { PluginConfig } from '#examples/email-plugin/config.ts'
import { readConfig } from '#examples/email-plugin/config.ts'
import { type EmailPlugin, startEmailPlugin } from '#examples/email-plugin/plugin.ts'

export interface RunningPlugin {
  plugin: EmailPlugin
  secret: string
  log: Record<string, unknown>[]
  /** A request as the service would sign it. */
  post: (path: string, body: object, headers?: Record<string, string>) => Promise<Response>
}

export async function startPlugin(t: Test, config: Partial<PluginConfig>): Promise<RunningPlugin> {
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const log: Record<string, unknown>[] = []
  const lines = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      log.push(JSON.parse(chunk.toString()) as Record<string, unknown>)
      done()
    },
  })
  const plugin = await startEmailPlugin(
    { ...readConfig({ WEBHOOK_SECRET: secret, PORT: '0' }), ...config },
    pino({ level: 'info' }, lines),
  )
  t.teardown(() => plugin.close())
  return {
    plugin,
    secret,
    log,
    post: (path, body, headers = {}) => {
      const text = JSON.stringify(body)
      return fetch(plugin.url + path, {
        method: 'POST',
        body: text,
        headers: { ...sign(secret, text), ...headers },
      })
    },
  }
}

/** Standard Webhooks headers. */
export function sign(
  secret: string,
  body: string,
  at = new Date(),
  id = crypto.randomUUID(),
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, at, body),
  }
}
