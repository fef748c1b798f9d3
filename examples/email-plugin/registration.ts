import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { ACTIONS } from './capabilities.ts'
import type { PluginConfig } from './config.ts'

const FIRST_PAUSE_MS = 500
const LAST_PAUSE_MS = 30_000
const TIMEOUT_MS = 10_000

/**
 * Makes the plugin and its actions known to the automation service, and goes on trying until it is there. Doing it
 * at every start keeps the service's picture current; registering the same again changes nothing.
 *
 * @param url where the service reaches this plugin
 * @throws when the service refuses: an answer that trying again would not change
 */
export async function register(
  config: PluginConfig,
  url: string,
  log: FastifyBaseLogger,
  signal: AbortSignal,
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS)) {
    try {
      await registerOnce(config, url, signal)
      log.info({ slug: config.slug, actions: ACTIONS.map((action) => action.action_type) }, 'registered')
      return
    } catch (error) {
      if (signal.aborted || error instanceof RegistrationRefused) throw error
      log.warn({ reason: (error as Error).message, pauseMs }, 'the automation service is not there yet')
      await sleep(pauseMs, undefined, { signal })
    }
  }
}

class RegistrationRefused extends Error {}

async function registerOnce(config: PluginConfig, url: string, signal: AbortSignal): Promise<void> {
  const path = `/api/plugins/${config.slug}/register-actions`
  const post = (to: string, body: unknown): Promise<Response> => call(config, to, body, signal)
  const actions = await post(path, { actions: ACTIONS })
  if (actions.status !== 404) return expectOk(actions, path)
  // Nobody has registered this plugin yet. With a plugin key that cannot happen: the plugin was there before its key.
  await expectOk(
    await post('/api/plugins', {
      name: 'Email Marketing',
      slug: config.slug,
      webhook_url: `${url}/webhooks`,
      events: ['customer.created'],
      secret: config.webhookSecret,
    }),
    '/api/plugins',
  )
  await expectOk(await post(path, { actions: ACTIONS }), path)
}

async function expectOk(response: Response, path: string): Promise<void> {
  const text = await response.text()
  if (response.ok) return
  const message = `POST ${path} was answered ${response.status}: ${text}`
  if (response.status >= 500 || response.status === 429) throw new Error(message)
  throw new RegistrationRefused(message)
}

function call(
  { automationUrl, automationKey }: PluginConfig,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Response> {
  return fetch(automationUrl + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(automationKey !== null && { authorization: `Bearer ${automationKey}` }),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  })
}
