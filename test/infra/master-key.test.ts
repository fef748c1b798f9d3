import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError } from '#config/config.ts'
import { resolveMasterKey } from '#infra/master-key.ts'

async function folder(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-key-'))
  t.teardown(() => rm(directory, { recursive: true }))
  return directory
}

t.test('a given key wins over everything', async (t) => {
  const dataDir = await folder(t)
  const given = randomBytes(32)
  t.equal(await resolveMasterKey({ given, dataDir, mayGenerate: true }), given)
  t.strictSame(await readdir(dataDir), [])
})

t.test('processes that start at once agree on one new key, readable by its owner only', async (t) => {
  const dataDir = join(await folder(t), 'not', 'there', 'yet')
  const keys = await Promise.all(
    Array.from({ length: 20 }, () => resolveMasterKey({ given: null, dataDir, mayGenerate: true })),
  )
  t.equal(new Set(keys.map((key) => key.toString('hex'))).size, 1)
  t.equal(keys[0]?.length, 32)
  t.strictSame(await readdir(dataDir), ['master.key'])
  t.equal((await stat(join(dataDir, 'master.key'))).mode & 0o777, 0o600)
})

t.test('a key that was made in open mode stays in use when the mode ends', async (t) => {
  const dataDir = await folder(t)
  const made = await resolveMasterKey({ given: null, dataDir, mayGenerate: true })
  t.strictSame(await resolveMasterKey({ given: null, dataDir, mayGenerate: false }), made)
})

t.test('where none may be made it says how to make one', async (t) => {
  const dataDir = await folder(t)
  await t.rejects(resolveMasterKey({ given: null, dataDir, mayGenerate: false }), {
    name: 'ConfigError',
    message: /openssl rand -base64 32/,
  })
})

t.test('a damaged file is refused, not replaced: what it sealed would be lost', async (t) => {
  const dataDir = await folder(t)
  const path = join(dataDir, 'master.key')
  await writeFile(path, 'damaged')
  await t.rejects(resolveMasterKey({ given: null, dataDir, mayGenerate: true }), ConfigError)
  t.equal(await readFile(path, 'utf8'), 'damaged')
})
