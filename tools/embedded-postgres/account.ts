import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** The system account that Postgres runs as, and a way to run a program as it. */
export interface ServerAccount {
  readonly name: string
  /** null: the account of this process, so that files need no new owner. */
  readonly ids: { readonly uid: number; readonly gid: number } | null
  /** The capability that it took to reach folders that the account itself may not enter; null: none. */
  readonly capability: Capability | null
  /** Resolves with the program's standard output; rejects with its output when it fails. */
  run(command: string, args: readonly string[]): Promise<string>
}

/** Reading is enough to pass through a closed folder; containers often grant only the wider one. */
const CAPABILITIES = ['dac_read_search', 'dac_override'] as const
type Capability = (typeof CAPABILITIES)[number]

/**
 * Postgres refuses to run as root. As root, an existing cluster's owner runs it; otherwise `postgres`, or
 * `nobody`; no account is created. When that account cannot enter the cluster's parent folder or the folder of
 * the programs (a checkout below /root, mode 700), it gets the one capability that opens them, by setpriv.
 */
export async function findServerAccount(cluster: string, initdb: string): Promise<ServerAccount> {
  if (process.geteuid?.() !== 0) {
    return { name: 'this user', ids: null, capability: null, run: (command, args) => run(command, args) }
  }
  const { name, uid, gid } = (await ownerOf(cluster)) ?? (await unprivilegedAccount())
  const ids = { uid, gid }
  const plain: ServerAccount = {
    name,
    ids,
    capability: null,
    run: (command, args) => run(command, args, ids),
  }
  const candidates = [plain, ...CAPABILITIES.map((capability) => withCapability(plain, ids, capability))]
  let cause: unknown
  for (const account of candidates) {
    try {
      await account.run('/bin/sh', [
        '-c',
        // --show goes through everything that initdb does before it writes.
        'cd -- "$1" && exec "$2" --show --pgdata="$1"',
        'sh',
        dirname(cluster),
        initdb,
      ])
      return account
    } catch (error) {
      cause ??= error
    }
  }
  throw new Error(
    `Postgres does not run as root, and the account "${name}" cannot enter ${dirname(cluster)} or run ${initdb}: ` +
      'set DATA_DIR to a folder that it can enter, run as another user, or set DATABASE_URL',
    { cause },
  )
}

function withCapability(
  plain: ServerAccount,
  ids: { uid: number; gid: number },
  capability: Capability,
): ServerAccount {
  const prefix = [
    `--reuid=${ids.uid}`,
    `--regid=${ids.gid}`,
    '--clear-groups',
    // Without it access(2), which Postgres asks about its programs, leaves the capability out of account.
    '--securebits=+no_setuid_fixup',
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
    '--',
  ]
  return { ...plain, capability, run: (command, args) => run('setpriv', [...prefix, command, ...args]) }
}

async function run(
  command: string,
  args: readonly string[],
  ids?: { uid: number; gid: number },
): Promise<string> {
  try {
    const { stdout } = await execute(command, args, {
      ...ids,
      // The server outlives this process: it gets none of the service's secrets, and always the same locale.
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    })
    return stdout
  } catch (cause) {
    const output = ['stderr', 'stdout'].map((stream) => printed(cause, stream)).filter(Boolean)
    throw new Error(`${command} failed: ${output.join('\n') || String(cause)}`, { cause })
  }
}

function printed(error: unknown, stream: string): string {
  const text: unknown = error instanceof Error ? Reflect.get(error, stream) : undefined
  return typeof text === 'string' ? text.trim() : ''
}

async function ownerOf(cluster: string): Promise<{ name: string; uid: number; gid: number } | null> {
  const folder = await stat(cluster).catch(() => null)
  return folder === null || folder.uid === 0
    ? null
    : { name: `uid ${folder.uid}`, uid: folder.uid, gid: folder.gid }
}

async function unprivilegedAccount(): Promise<{ name: string; uid: number; gid: number }> {
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find((fields) => fields[0] === name)
    if (account) return { name, uid: Number(account[2]), gid: Number(account[3]) }
  }
  throw new Error(
    'Postgres does not run as root, and there is no account "postgres" or "nobody": set DATABASE_URL',
  )
}
