import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '#config/config.ts'

const MASTER_KEY_BYTES = 32
const FILE_NAME = 'master.key'

export interface MasterKeyOptions {
  /** From the environment; wins over the file. */
  given: Buffer | null
  dataDir: string
  /** A key may be made: only where losing it costs a newcomer's data and no shop's. */
  mayGenerate: boolean
}

/**
 * The key that seals secrets at rest: the given one, else the one in `<dataDir>/master.key`, else, if it may, a new
 * one, written there with mode 600.
 * @throws {ConfigError} when there is none and none may be made, or when the file is damaged
 */
export async function resolveMasterKey(options: MasterKeyOptions): Promise<Buffer> {
  if (options.given !== null) return options.given
  const path = join(options.dataDir, FILE_NAME)
  const stored = await readKey(path)
  if (stored !== null) return stored
  if (!options.mayGenerate) {
    throw new ConfigError([
      'MASTER_KEY: needed as soon as there are keys. Make one with "openssl rand -base64 32" and keep it: without it the stored secrets cannot be read',
    ])
  }
  return createKey(options.dataDir, path)
}

/** Several processes may start at once: the first one's key is linked into place whole, the others read it. */
async function createKey(dataDir: string, path: string): Promise<Buffer> {
  const key = randomBytes(MASTER_KEY_BYTES)
  const draft = `${path}.${crypto.randomUUID()}`
  await mkdir(dataDir, { recursive: true })
  await writeFile(draft, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    await link(draft, path)
    return key
  } catch (error) {
    const other = isCode(error, 'EEXIST') ? await readKey(path) : null
    if (other === null) throw error
    return other
  } finally {
    await rm(draft)
  }
}

async function readKey(path: string): Promise<Buffer | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
  const key = Buffer.from(text, 'base64')
  if (key.length === MASTER_KEY_BYTES) return key
  throw new ConfigError([
    `${path}: is not base64 of ${MASTER_KEY_BYTES} bytes. Restore it, or give MASTER_KEY`,
  ])
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && Reflect.get(error, 'code') === code
}
