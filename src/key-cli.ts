/**
 * `npm run key`: makes, lists and revokes keys at the machine itself, where no key is needed yet, and seals what is
 * stored under another master key. It works on
 * DATABASE_URL, or on the embedded database in DATA_DIR, also while the service runs on it. A new key goes to
 * standard output, alone; what is said about it goes to standard error. Exit code 0: done; 1: refused or failed;
 * 2: the command line or the configuration is not usable.
 */
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import type pg from 'pg'
import { createKysely, createPool } from '#db/connection.ts'
import type { DB, KeyKind, TenantRole } from '#db/schema.ts'
import { type Config, ConfigError, loadConfig } from '#config/config.ts'
import { openDatabase } from '#config/database.ts'
import { type Actor, SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { resolveMasterKey } from '#infra/master-key.ts'
import { countSealed, describeCounts } from '#infra/sealed/count.ts'
import { reseal } from '#infra/sealed/reseal.ts'
import { notifyOnce } from '#infra/signals.ts'
import { isUuid } from '#lib/ids.ts'
import { Problem } from '#lib/api/problem.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { createKey, type KeyContext, listKeys, type NewApiKey, revokeKey } from '#modules/key/index.ts'

const USAGE = `Usage:
  npm run key -- create --kind platform --name <name>
  npm run key -- create --kind tenant   --name <name> --tenant <uuid> --role <admin|editor|viewer>
  npm run key -- create --kind plugin   --name <name> --tenant <uuid> --plugin <slug or id>
  npm run key -- list   [--tenant <uuid>]
  npm run key -- revoke <id> [--tenant <uuid>]
  npm run key -- reseal [--count]

Without --tenant, list and revoke work on platform keys.
create also takes --expires-at <time>, such as 2027-01-31T00:00:00Z.
reseal seals what is stored under MASTER_KEY that was sealed under a key in
MASTER_KEY_PREVIOUS; --count only tells how much that is.`

const EXIT_USAGE = 2
const KINDS: readonly string[] = ['platform', 'tenant', 'plugin'] satisfies KeyKind[]
const ROLES: readonly string[] = ['admin', 'editor', 'viewer'] satisfies TenantRole[]
const OPERATOR: Actor = { ...SYSTEM_ACTOR, kind: 'operator' }
const PAGE_SIZE = 200
const TIMEOUT_MS = 30_000

class UsageError extends Error {}

type Command = (ctx: CommandContext) => Promise<void>

interface CommandContext extends KeyContext {
  pool: pg.Pool
  config: Config
}

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
      count: { type: 'boolean' },
    },
  })
  const [command, id, ...rest] = positionals
  if (rest.length > 0 || (id !== undefined && command !== 'revoke'))
    throw new UsageError('Too many arguments.')
  const { tenant, 'expires-at': expiresAt, count, ...fields } = values
  if (command === 'reseal') {
    if (Object.keys(values).some((name) => name !== 'count'))
      throw new UsageError('reseal takes no option but --count.')
    return count === true ? countLeft : resealAll
  }
  if (count !== undefined) throw new UsageError('Only reseal takes --count.')
  if (tenant !== undefined && !isUuid(tenant)) throw new UsageError('--tenant must be a UUID.')
  const scope = tenant?.toLowerCase() ?? null
  if (command === 'create') return create(scope, newKeyOf({ ...fields, expires_at: expiresAt }))
  if (Object.keys(fields).length > 0 || expiresAt !== undefined) {
    throw new UsageError(`${command ?? 'This'} takes no option but --tenant.`)
  }
  if (command === 'list') return list(scope)
  if (command !== 'revoke') throw new UsageError('Say what to do: create, list, revoke or reseal.')
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

async function boxOf({ config }: CommandContext) {
  const { masterKey: given, dataDir, previousMasterKeys } = config
  const masterKey = await resolveMasterKey({ given, dataDir, mayGenerate: false })
  return createSecretBox(masterKey, previousMasterKeys)
}

const resealAll: Command = async (ctx) => {
  const box = await boxOf(ctx)
  const { resealed } = await reseal(ctx.pool, box, {
    onBatch: (column, { resealed: sofar }) => console.error(`${column.name}: ${sofar} resealed so far`),
  })
  console.log(`resealed\t${resealed}`)
  await countLeft(ctx)
}

/** Says how much an older key still seals. @throws when something is left that no reseal would change */
const countLeft: Command = async (ctx) => {
  const { total, older, unreadable, unreadableBy } = await countSealed(ctx.pool, await boxOf(ctx))
  const tokens = await lastCompletion(ctx.pool)
  console.log(`stored\t${total}\nolder key\t${older}\nunknown key\t${unreadable}`)
  if (unreadable > 0) {
    throw new Error(
      `${unreadable} cannot be opened by any key that is configured (${describeCounts(unreadableBy)}). ` +
        'Give their key in MASTER_KEY_PREVIOUS and reseal again, or enter them again; see docs/operations.md.',
    )
  }
  if (older > 0)
    console.error('Run "npm run key -- reseal" before you remove a key from MASTER_KEY_PREVIOUS.')
  else if (tokens === null) console.error('Nothing needs MASTER_KEY_PREVIOUS any more.')
  else
    console.error(
      `Nothing stored needs MASTER_KEY_PREVIOUS any more. Plugins may still complete actions with tokens of the older key: keep it until ${tokens.toISOString()}.`,
    )
}

/** Completion tokens are sealed, too, but plugins have them: they end with their actions. */
async function lastCompletion(pool: pg.Pool): Promise<Date | null> {
  const { rows } = await pool.query<{ last: Date | null }>(
    `select max(complete_until) as last from action_invocations
     where complete_until > now() and status = 'accepted'`,
  )
  return rows[0]?.last ?? null
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
      pool,
      config,
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
