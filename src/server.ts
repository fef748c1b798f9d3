import { setTimeout as delay } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { type App, buildApp } from './app.ts'
import { type Config, ConfigError, describeEnvironment, loadConfig } from '#config/config.ts'
import { type Database, openDatabase } from '#config/database.ts'
import { type EgressAllowRule, parseEgressAllow } from '#infra/egress/index.ts'
import { createLogger } from '#infra/logger.ts'
import { resolveMasterKey } from '#infra/master-key.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'

/** The parts that were started so far, to be closed in reverse order; filled while starting, so a signal may come at any time. */
interface Running {
  database: Database | null
  app: App | null
  /** It has answered requests: balancers know of it. */
  isListening: boolean
}

/** Exit code for a configuration that only a person can mend: starting again would not help. */
const EXIT_CONFIG = 2
/** Orchestrators kill after 10 s, unless they are told to leave DRAIN_MS more: exit by ourselves just before. */
const CLOSE_TIMEOUT_MS = 9_500
/** Requests that are still being answered after this are cut off, so that there is time to close the rest. */
const IN_FLIGHT_TIMEOUT_MS = 6_000
/** Ctrl-C reaches `npm start` and this process, and npm passes it on: that is one wish, not two. */
const SAME_SIGNAL_MS = 2_000
const OPEN_MODE_EGRESS = '127.0.0.0/8,[::1]'

async function main(): Promise<void> {
  const config = loadConfig()
  const log = createLogger(config.logLevel)
  const running: Running = { database: null, app: null, isListening: false }
  closeOnSignals(running, log, config.roles.api ? config.drainMs : 0)
  log.info({ environment: describeEnvironment() }, 'starting')
  try {
    await start(config, log, running)
  } catch (error) {
    if (running.app?.draining.aborted === true) return
    await close(running).catch(() => undefined)
    fail(error, log)
  }
}

async function start(config: Config, log: Logger, running: Running): Promise<void> {
  warnOfLoweredSettings(config, log)
  const database = await openDatabase(config, log)
  running.database = database
  const open = config.loopback && config.platformKey === null && !database.hasKeys
  if (!config.loopback && config.platformKey === null && !database.hasKeys) {
    throw new ConfigError([
      `HOST: ${config.host} can be reached from outside and there is no key. Give PLATFORM_KEY, make a key with "npm run key", or use HOST=127.0.0.1`,
    ])
  }
  const masterKey = await resolveMasterKey({
    given: config.masterKey,
    dataDir: config.dataDir,
    mayGenerate: open,
  })
  const app = await buildApp(config, {
    logger: log,
    databaseUrl: database.url,
    secretBox: createSecretBox(masterKey, config.previousMasterKeys),
    egress: {
      allow: egressAllow(config.egress.allow, open),
      dnsServers: config.egress.dns,
      httpsOnly: config.egress.httpsOnly,
    },
    openTenantId: open ? config.defaultTenantId : null,
  })
  running.app = app
  const url = await app.listen({
    host: config.host,
    port: config.port,
    listenTextResolver: (address) => `listening on ${address}`,
  })
  running.isListening = true
  announce(log, url, open ? config.defaultTenantId : null, config.roles.api)
}

function warnOfLoweredSettings({ roles, openFiles, delivery }: Config, log: Logger): void {
  if (!roles.worker || delivery.maxInFlight === delivery.maxInFlightAsked) return
  log.warn(
    {
      max_in_flight: delivery.maxInFlight,
      max_in_flight_asked: delivery.maxInFlightAsked,
      open_files: openFiles,
    },
    'MAX_IN_FLIGHT is lowered to a quarter of the files that may be open: raise that limit (ulimit -n), or lower the variable',
  )
}

function egressAllow(given: string, open: boolean): EgressAllowRule[] {
  try {
    return parseEgressAllow(open ? `${given},${OPEN_MODE_EGRESS}` : given)
  } catch (error) {
    throw new ConfigError([`EGRESS_ALLOW: ${(error as Error).message}`])
  }
}

/** Shows a first request. It has no quotes: in a JSON line they are escaped, and nobody could paste it. */
function announce(log: Logger, url: string, openTenant: string | null, api: boolean): void {
  const health = `Try: curl ${url}/health/ready`
  if (openTenant === null) {
    log.info(`every request needs a key, and "npm run key" makes one; health needs none. ${health}`)
    return
  }
  log.warn(
    { tenant_id: openTenant },
    `open mode: everybody on this machine may do everything, for tenant ${openTenant}. ` +
      (api ? `Try: curl ${url}/api/event-types/product.created` : health),
  )
}

function closeOnSignals(running: Running, log: Logger, drainMs: number): void {
  const grace = closeWithGrace(
    {
      delay: CLOSE_TIMEOUT_MS + drainMs,
      logger: false,
      skip: ['SIGINT', 'SIGTERM'],
      onTimeout: (ms) => log.fatal(`could not close within ${ms} ms`),
      onSecondError: (error) => log.fatal({ err: error }, 'failed while closing'),
    },
    async ({ err }) => {
      if (err !== undefined) log.fatal({ err }, 'closing after an error that nobody handled')
      try {
        if (err === undefined && running.isListening) await retire(running, drainMs)
        await close(running)
        log.info('closed')
      } catch (error) {
        log.fatal({ err: error }, 'could not close')
        throw error
      }
    },
  )
  let signalledAt: number | null = null
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      const now = performance.now()
      if (signalledAt === null) {
        signalledAt = now
        log.info({ signal }, 'closing')
        grace.close()
      } else if (now - signalledAt > SAME_SIGNAL_MS) {
        process.exit(1)
      }
    })
  }
}

/** Answers on, not ready, until balancers have noticed. */
async function retire({ app }: Running, drainMs: number): Promise<void> {
  app?.retire()
  await delay(drainMs)
}

async function close({ app, database }: Running): Promise<void> {
  if (app !== null) {
    app.drain()
    const cutOff = setTimeout(() => app.server.closeAllConnections(), IN_FLIGHT_TIMEOUT_MS)
    await app.close()
    clearTimeout(cutOff)
  }
  await database?.stop()
}

function fail(error: unknown, log?: Logger): never {
  if (error instanceof ConfigError) {
    console.error(error.message)
    process.exit(EXIT_CONFIG)
  }
  log?.fatal({ err: error }, 'could not start')
  process.exit(1)
}

try {
  await main()
} catch (error) {
  fail(error)
}
