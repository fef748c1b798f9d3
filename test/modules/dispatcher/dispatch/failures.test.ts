import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { ACTION_RESPONSE_MAX_BYTES } from '#lib/action-call.ts'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import {
  type Action,
  actionAt,
  dispatch,
  json,
  type LogEntry,
  readLog,
  registerPlugin,
  startPlugin,
} from '../support.ts'

/** An action and how it ends: `ok` or the error's code. */
interface Kind {
  action: Action
  ends: string
  status?: number
  /** Attempts, when it was called at all. */
  attempts?: number
}

const TIMEOUT_MS = 1_000

const strict = { input_schema: { type: 'object', properties: { n: { type: 'integer' } } } }

const service = await startApp(t, { env: { ROLES: 'api,worker', ACTION_COMPLETION_SECONDS: '1' } })
const plugin = await startPlugin(t, {
  '/hang': () => undefined,
  '/reset': (response) => response.socket?.resetAndDestroy(),
  '/refuse': json(422, { error: { code: 'mailbox_full', message: 'The mailbox is full.' } }),
  '/crash': (response) => response.writeHead(500).end('<html>'),
  '/redirect': (response) => response.writeHead(302, { location: '/ok' }).end(),
  '/huge': (response) => response.writeHead(200).end(`"${'x'.repeat(ACTION_RESPONSE_MAX_BYTES)}"`),
  '/html': (response) => response.writeHead(200).end('<html>It works!</html>'),
  '/empty': (response) => response.writeHead(204).end(),
  '/astronomic': (response) => response.writeHead(200).end('{"stars":1e999}'),
  '/later': (response) => response.writeHead(202).end(),
})
const shop = service.tenant()
await registerPlugin(shop, plugin.url, 'everything', [
  actionAt('ok'),
  actionAt('strict', strict),
  actionAt('required', { required_fields: ['to'] }),
  actionAt('hang', { timeout_ms: TIMEOUT_MS }),
  ...['reset', 'refuse', 'crash', 'redirect', 'huge', 'html', 'empty', 'astronomic', 'later', 'shared'].map(
    (name) => actionAt(name),
  ),
])
await registerPlugin(shop, plugin.url, 'other', [actionAt('shared')])
await registerPlugin(shop, plugin.url, 'asleep', [actionAt('sleep')])
await shop.post('/api/plugins/asleep/pause')
const locked = await registerPlugin(shop, plugin.url, 'locked', [actionAt('unlock')])
await service.db
  .updateTable('plugin_secrets')
  .set({ sealed: service.app.secretBox.seal('whsec_x', 'another row') })
  .where('plugin_id', '=', locked.id)
  .execute()
await registerPlugin(shop, await closedPort(), 'away', [actionAt('call_away')])

const KINDS: Kind[] = [
  { action: { action_type: 'ok', payload: {} }, ends: 'ok', status: 200, attempts: 1 },
  { action: { action_type: 'nothing_like_it', payload: {} }, ends: 'unknown_action' },
  { action: { action_type: 'ok', plugin_id: 'nobody', payload: {} }, ends: 'unknown_plugin' },
  { action: { action_type: 'ok', plugin_id: 'other', payload: {} }, ends: 'unknown_action' },
  { action: { action_type: 'sleep', payload: {} }, ends: 'plugin_inactive' },
  { action: { action_type: 'shared', payload: {} }, ends: 'ok', status: 200, attempts: 1 },
  { action: { action_type: 'required', payload: { to: '' } }, ends: 'missing_field' },
  { action: { action_type: 'update_customer', payload: { name: 'Ada' } }, ends: 'missing_field' },
  { action: { action_type: 'strict', payload: { n: 'one' } }, ends: 'invalid_payload' },
  {
    action: { action_type: 'create_customer', payload: { email: 'ada@example.com' } },
    ends: 'platform_not_configured',
    attempts: 1,
  },
  { action: { action_type: 'hang', payload: {} }, ends: 'timeout', attempts: 1 },
  { action: { action_type: 'reset', payload: {} }, ends: 'reset', attempts: 1 },
  { action: { action_type: 'call_away', payload: {} }, ends: 'connect_refused', attempts: 3 },
  { action: { action_type: 'refuse', payload: {} }, ends: 'mailbox_full', status: 422, attempts: 1 },
  { action: { action_type: 'crash', payload: {} }, ends: 'http_5xx', status: 500, attempts: 1 },
  { action: { action_type: 'redirect', payload: {} }, ends: 'redirect', status: 302, attempts: 1 },
  { action: { action_type: 'huge', payload: {} }, ends: 'response_too_large', status: 200, attempts: 1 },
  { action: { action_type: 'html', payload: {} }, ends: 'invalid_response', status: 200, attempts: 1 },
  { action: { action_type: 'astronomic', payload: {} }, ends: 'ok', status: 200, attempts: 1 },
  { action: { action_type: 'empty', payload: {} }, ends: 'ok', status: 204, attempts: 1 },
  { action: { action_type: 'later', payload: {} }, ends: 'accepted', status: 202, attempts: 1 },
  { action: { action_type: 'unlock', payload: {} }, ends: 'secret_unreadable', attempts: 1 },
]

t.test(
  'a hundred actions that fail in every way give a hundred results in order, and the log has each',
  async (t) => {
    const kinds = Array.from({ length: 100 }, (_, index) => KINDS[index % KINDS.length] as Kind)
    const events = kinds.map(({ action }) => action)
    const answer = await dispatch(shop, events, { flow_execution_id: 'hundred', mode: 'parallel' })
    t.strictSame(
      answer.results.map((result) => [
        result.action_type,
        result.error?.code ?? (result.status === 'accepted' ? 'accepted' : 'ok'),
        result.response_status,
        result.attempts,
      ]),
      kinds.map(({ action, ends, status, attempts }) => [
        action.action_type,
        ends,
        status ?? null,
        attempts ?? 0,
      ]),
    )
    t.ok(answer.results.every(({ success, error }) => success === (error === undefined)))
    const succeeded = kinds.filter(({ ends }) => ends === 'ok' || ends === 'accepted').length
    t.strictSame(answer.summary, { total: 100, succeeded, failed: 100 - succeeded })

    const later = kinds.filter(({ ends }) => ends === 'accepted').length
    await eventually(
      'what was accepted and never completed has failed',
      async () => (await logOf('action=later&success=false')).length === later,
    )
    const log = await logOf('')
    t.equal(log.length, 100)
    const byKey = new Map(log.map((entry) => [entry.event_key, entry]))
    t.strictSame(
      kinds.map((_, index) => {
        const entry = byKey.get(`#${index}`)
        return [entry?.action_type, entry?.success, entry?.error_code]
      }),
      kinds.map(({ action, ends }) => {
        const code = ends === 'accepted' ? 'completion_timeout' : ends === 'ok' ? null : ends
        return [action.action_type, code === null, code]
      }),
    )
    const resets = kinds.filter(({ ends }) => ends === 'reset').length
    t.equal(plugin.calls('/reset').length, resets, 'what may have been done is not sent twice')
    t.match(byKey.get('#20')?.result, { code: 'completion_timeout' })
  },
)

t.test('a result says what was wrong so that a person can mend it', async (t) => {
  const { results } = await dispatch(
    shop,
    KINDS.map(({ action }) => action),
    { mode: 'parallel' },
  )
  const errorOf = (ends: string) => results[KINDS.findIndex((kind) => kind.ends === ends)]?.error
  t.match(errorOf('missing_field'), { message: 'The payload lacks: to.' })
  t.match(errorOf('invalid_payload'), { message: /^\/n: / })
  t.match(errorOf('mailbox_full'), { message: 'The mailbox is full.' })
  t.match(errorOf('plugin_inactive'), { message: /asleep/ })
  t.match(errorOf('platform_not_configured'), { message: /PLATFORM_URL/ })
  t.notMatch(errorOf('invalid_response')?.message, /It works/, 'what a stranger wrote is not repeated')
})

async function logOf(query: string): Promise<LogEntry[]> {
  return readLog(shop, `execution=hundred&${query}`)
}

/** Returns a URL at which nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return `http://127.0.0.1:${port}`
}
