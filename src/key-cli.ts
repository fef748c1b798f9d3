/**
 * `npm run key`: makes, lists and revokes keys at the machine itself, where no key is needed yet. It works on
 * DATABASE_URL, or on the embedded database in DATA_DIR, also while the service runs on it. A new key goes to
 * standard output, alone; what is said about it goes to standard error. Exit code 0: done; 1: refused or failed;
 * 2: the command line or the configuration is not usable.
 */
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { createKysely, createPool } from '#db/connection.ts'
import type { DB, KeyKind, TenantRole } from '#db/schema.ts'
import { ConfigError, loadConfig } from '#config/config.ts'
import { openDatabase } from '#config/database.ts'
import { type Actor, SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { notifyOnce } from '#infra/signals.ts'
import { isUuid } from '#lib/ids.ts'
import { Problem } from '#lib/api/problem.ts'
import { createKey, type KeyContext, listKeys, type NewApiKey, revokeKey } from '#modules/key/index.ts'

const USAGE = `Usage:
  npm run key -- create --kind platform --name <name>
  npm run key -- create --kind tenant   --name <name> --tenant <uuid> --role <admin|editor|viewer>
  npm run key -- create --kind plugin   --name <name> --tenant <uuid> --plugin <slug or id>
  npm run key -- list   [--tenant <uuid>]
  npm run key -- revoke <id> [--tenant <uuid>]

Without --tenant, list and revoke work on platform keys.
create also takes --expires-at <time>, such as 2027-01-31T00:00:00Z.`

const EXIT_USAGE = 2
const KINDS: readonly string[] = ['platform', 'tenant', 'plugin'] satisfies KeyKind[]
const ROLES: readonly string[] = ['admin', 'editor', 'viewer'] satisfies TenantRole[]
const OPERATOR: Actor = { ...SYSTEM_ACTOR, kind: 'operator' }
const PAGE_SIZE = 200
const TIMEOUT_MS = 30_000

class UsageError extends Error {}

type Command = (ctx: KeyContext) => Promise<void>

function parseCommand(args: string[]): Command {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      kind: { type: 'string' },
      name: { type: 'string' },
      tenant: { type: 'string' },
      role: { type: 'string' },
      plugin: { type: 'string' },
      'expires-at': { type: 'string' },
    },
  })
  const [command, id, ...rest] = positionals
  if (rest.length > 0 || (id !== undefined && command !== 'revoke'))
    throw new UsageError('Too many arguments.')
  const { tenant, 'expires-at': expiresAt, ...fields } = values
  if (tenant !== undefined && !isUuid(tenant)) throw new UsageError('--tenant must be a UUID.')
  const scope = tenant?.toLowerCase() ?? null
  if (command === 'create') return create(scope, newKeyOf({ ...fields, expires_at: expiresAt }))
  if (Object.keys(fields).length > 0 || expiresAt !== undefined) {
    throw new UsageError(`${command ?? 'This'} takes no option but --tenant.`)
  }
  if (command === 'list') return list(scope)
  if (command !== 'revoke') throw new UsageError('Say what to do: create, list or revoke.')
  if (id === undefined || !isUuid(id)) throw new UsageError("revoke needs the key's id, a UUID.")
  return revoke(scope, id)
}

function newKeyOf(given: Partial<Record<keyof NewApiKey, string | undefined>>): NewApiKey {
  const { name, kind, role, plugin, expires_at } = given
  if (!name) throw new UsageError('--name is needed.')
  if (kind === undefined || !KINDS.includes(kind)) throw new UsageError(`--kind must be ${KINDS.join(', ')}.`)
  if (role !== undefined && !ROLES.includes(role)) throw new UsageError(`--role must be ${ROLES.join(', ')}.`)
  return {
    name,
    kind: kind as KeyKind,
    ...(role !== undefined && { role: role as TenantRole }),
    ...(plugin !== undefined && { plugin }),
    ...(expires_at !== undefined && { expires_at }),
  }
}

function create(scope: string | null, input: NewApiKey): Command {
  if (input.kind === 'platform' && scope !== null) throw new UsageError('A platform key has no --tenant.')
  if (input.kind !== 'platform' && scope === null) throw new UsageError('--tenant is needed.')
  return async (ctx) => {
    if (scope !== null) {
      const tenants = ctx.db.insertInto('tenants').values({ id: scope })
      await tenants.onConflict((conflict) => conflict.column('id').doNothing()).execute()
    }
    const { id, key, kind } = await createKey(ctx, OPERATOR, scope, input)
    console.log(key)
    console.error(
      `This is the ${kind} key ${id}. It is shown this once: keep it now.\n` +
        'A service that runs in open mode asks for keys from its next start on.',
    )
  }
}

function list(scope: string | null): Command {
  return async (ctx) => {
    let cursor: string | null = null
    do {
      const page: Awaited<ReturnType<typeof listKeys>> = await listKeys(ctx, scope, {
        limit: PAGE_SIZE,
        ...(cursor !== null && { cursor }),
      })
      for (const key of page.data) {
        const state = key.revoked_at === null ? 'live' : 'revoked'
        console.log([key.id, key.kind, key.role ?? key.plugin ?? '-', key.prefix, state, key.name].join('\t'))
      }
      cursor = page.next_cursor
    } while (cursor !== null)
  }
}

function revoke(scope: string | null, id: string): Command {
  return async (ctx) => {
    await revokeKey(ctx, OPERATOR, scope, id)
    console.error(`${id} is revoked.`)
  }
}

/** Runs it on the migrated database, and tells running services of what changed before it returns. */
async function run(command: Command): Promise<void> {
  const config = loadConfig()
  const log = pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true }))
  const database = await openDatabase(config, log)
  const pool = createPool(database.url, {
    max: 2,
    applicationName: 'bcs-key',
    statementTimeoutMs: TIMEOUT_MS,
    lockTimeoutMs: TIMEOUT_MS,
    idleInTransactionTimeoutMs: TIMEOUT_MS,
    connectionTimeoutMs: TIMEOUT_MS,
  })
  const changed = new Set<string>()
  try {
    await command({
      db: createKysely<DB>(pool),
      signals: { publish: (_channel, ids) => [...ids].forEach((id) => changed.add(id)) },
    })
    if (changed.size > 0) await notifyOnce(pool, 'key_changed', 'key-cli', [...changed])
  } finally {
    await pool.end()
    await database.stop()
  }
}

function explain(error: unknown): { text: string; exitCode: number } {
  const { message, code } = error as Error & { code?: unknown }
  if (error instanceof UsageError || String(code).startsWith('ERR_PARSE_ARGS')) {
    return { text: `${message}\n\n${USAGE}`, exitCode: EXIT_USAGE }
  }
  if (error instanceof ConfigError) return { text: message, exitCode: EXIT_USAGE }
  const fields = error instanceof Problem ? (error.errors ?? []) : []
  return { text: [message, ...fields.map((f) => `${f.pointer} ${f.detail}`)].join('\n'), exitCode: 1 }
}

try {
  const args = process.argv.slice(2)
  if (args.includes('--help')) console.log(USAGE)
  else await run(parseCommand(args))
} catch (error) {
  const { text, exitCode } = explain(error)
  console.error(text)
  process.exitCode = exitCode
}
