/**
 * `npm run demo`: the service, a receiver and three plugins, of which one works, one fails at first and one is dead.
 * Posts events, watches them arrive; then one request has the platform create a customer and a plugin mail to them;
 * then a flow does as much by itself, whenever a customer signs up. Checks its own claims. Exit code 0: all of them
 * hold; 1: one does not, or something broke; 130: interrupted. Leaves nothing behind. With `--stay` the service goes on, to
 * be looked at in the console, until Ctrl-C.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Account, isSettled, takeAccount } from './account.ts'
import { type Api, createApi, type Plugin } from './api.ts'
import type { Arrival } from './arrival.ts'
import { checkClaims } from './claims.ts'
import { setStage, showDispatch } from './dispatch.ts'
import { catalogueEvents, githubEvents, type PostedEvent, postInBatches, postSingly } from './events.ts'
import { DEAD_URL, PLUGINS, wants } from './plugins.ts'
import { showFlow } from './flow.ts'
import { startReceiver, startService } from './processes.ts'
import { Progress } from './progress.ts'
import { explain, renderTable } from './report.ts'

const DEADLINE_MS = 50_000
const LOOK_MS = 150
/** Seconds: the show has to end. */
const RETRY_SCHEDULE = '1,2,3'
const EXIT_INTERRUPTED = 130
/** What the service works for when nobody has a key. */
const TENANT_ID = '11111111-1111-1111-1111-111111111111'

const progress = new Progress(process.stdout)
const { values: options } = parseArgs({ options: { stay: { type: 'boolean', default: false } } })

async function main(signal: AbortSignal): Promise<boolean> {
  await using cleanup = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'bcs-demo-'))
  cleanup.defer(() => rm(directory, { recursive: true, force: true }))

  progress.line('Starting the service on a Postgres of its own, a platform, a mailbox and a receiver ...')
  const stage = await setStage(TENANT_ID, cleanup)
  const url = await startService(directory, { RETRY_SCHEDULE, ...stage.environment }, { cleanup, signal })
  const arrivals: Arrival[] = []
  const receiver = await startReceiver((arrival) => arrivals.push(arrival), { cleanup, signal })
  const api = cleanup.use(createApi(url, signal))

  progress.line(`The service listens on ${url} and keeps its data in ${directory}. Registering plugins:`)
  await registerPlugins(api, receiver)
  const posted = await postEvents(api)
  const account = await watch(api, posted, arrivals, signal)
  const delivered = await report(api, account)
  progress.line('')
  const line = (text: string): void => progress.line(text)
  const dispatched = showClaims(await showDispatch({ stage, api, url, line, cleanup, signal }))
  progress.line('')
  const flowed = showClaims(await showFlow({ stage, api, line, signal }))
  const holds = delivered && dispatched && flowed
  if (options.stay) await stay(url)
  else progress.line('To look at all of it in the console: npm run demo -- --stay')
  return holds
}

/** Leaves everything running until somebody has seen enough. */
async function stay(url: string): Promise<void> {
  progress.line(
    `Look at it: ${url}/console/ shows the plugins, each delivery with its attempts, and the flow's runs.`,
  )
  progress.line('Ctrl-C ends it and leaves nothing behind.')
  if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort')
}

async function registerPlugins(api: Api, receiver: Awaited<ReturnType<typeof startReceiver>>): Promise<void> {
  for (const { slug, events, endpoint, failures } of PLUGINS) {
    const webhook_url = `${failures === null ? DEAD_URL : receiver.url}/${slug}`
    const { secret } = await api.post<{ secret: string }>('/api/plugins', { name: slug, webhook_url, events })
    if (failures !== null) receiver.expect({ plugin: slug, secret, failures })
    progress.line(`  ${slug.padEnd(9)}  ${endpoint.padEnd(17)}  ${events.join(', ')}`)
  }
}

async function postEvents(api: Api): Promise<PostedEvent[]> {
  const samples = await catalogueEvents(api)
  const payloads = githubEvents()
  progress.line(
    `Posting ${samples.length} samples of the catalogue, then ${payloads.length} payloads of GitHub:`,
  )
  const started = performance.now()
  const posted = await postSingly(api, samples)
  const batched = await postInBatches(api, payloads, (count) => {
    progress.update(`  ${samples.length + count} of ${samples.length + payloads.length}`)
  })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  progress.line(`  stored, with their deliveries, in ${seconds} s`)
  return [...posted, ...batched]
}

/** Follows the deliveries until all is quiet. @throws when that takes too long */
async function watch(
  api: Api,
  posted: readonly PostedEvent[],
  arrivals: readonly Arrival[],
  signal: AbortSignal,
): Promise<Account> {
  progress.line('Delivering:')
  for (;;) {
    const arrived = await showArrivals(api, posted, arrivals)
    if (arrived) {
      const account = await takeAccount(api, posted, arrivals)
      if (isSettled(account)) return account
    }
    await delay(LOOK_MS, undefined, { signal })
  }
}

/** @returns whether each plugin that works has accepted what was posted for it */
async function showArrivals(
  api: Api,
  posted: readonly PostedEvent[],
  arrivals: readonly Arrival[],
): Promise<boolean> {
  const postedIds = new Set(posted.map(({ id }) => id))
  let complete = true
  const parts: string[] = []
  for (const plugin of PLUGINS) {
    const { slug, failures } = plugin
    const expected = posted.filter(({ event }) => wants(plugin, event)).length
    if (failures === null) {
      const { health } = await api.get<Plugin>(`/api/plugins/${slug}`)
      parts.push(`${slug} 0 of ${expected} (breaker ${health.breaker})`)
    } else {
      const accepted = arrivals.filter(
        (arrival) => arrival.plugin === slug && arrival.status < 300 && postedIds.has(arrival.eventId),
      ).length
      if (accepted < expected) complete = false
      parts.push(`${slug} ${accepted} of ${expected}`)
    }
  }
  progress.update(`  ${parts.join(', ')}`)
  return complete
}

/** @returns whether every claim holds */
async function report(api: Api, account: Account): Promise<boolean> {
  progress.line('')
  for (const line of renderTable(account)) progress.line(line)
  progress.line('')
  for (const each of account.plugins.filter(({ plugin }) => plugin.failures === null)) {
    for (const line of await explain(api, each)) progress.line(line)
  }
  progress.line('')
  return showClaims(checkClaims(account))
}

/** @returns whether all of them hold */
function showClaims(claims: readonly { text: string; holds: boolean }[]): boolean {
  for (const { text, holds } of claims) progress.line(`${holds ? 'ok    ' : 'FALSE '} ${text}`)
  return claims.every(({ holds }) => holds)
}

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupted.abort())
// Whoever stays ends it themselves.
const deadline = options.stay ? new AbortController().signal : AbortSignal.timeout(DEADLINE_MS)

try {
  process.exitCode = (await main(AbortSignal.any([interrupted.signal, deadline]))) ? 0 : 1
} catch (error) {
  if (interrupted.signal.aborted) {
    progress.line('interrupted')
    process.exitCode = EXIT_INTERRUPTED
  } else {
    progress.line(deadline.aborted ? `did not get done within ${DEADLINE_MS / 1000} s` : String(error))
    process.exitCode = 1
  }
}
