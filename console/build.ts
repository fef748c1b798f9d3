/**
 * Builds the console into console/dist, with each file also compressed. `--if-stale`: only when a source has changed since.
 * `--soft`: whatever fails is one line and exit code 0, since the service also runs without its console.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { glob, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const HERE = import.meta.dirname
const ROOT = resolve(HERE, '..')
const DIST = join(HERE, 'dist')
const STAMP = join(DIST, '.stamp')
/** What is served compressed; images are by themselves. */
const TEXT = '**/*.{html,js,css,svg,json}'

const { values: options } = parseArgs({
  options: { 'if-stale': { type: 'boolean', default: false }, soft: { type: 'boolean', default: false } },
})

try {
  await main()
} catch (error) {
  if (!options.soft) throw error
  console.log(`the console was not built, the service runs without it: ${(error as Error).message}`)
}

async function main(): Promise<void> {
  if (process.env['CONSOLE_BUILD'] === 'skip') return
  const stamp = await stampOfSources()
  if (options['if-stale'] && existsSync(STAMP) && (await readFile(STAMP, 'utf8')) === stamp) return
  const { build } = await import('vite')
  await build({ configFile: join(HERE, 'vite.config.ts'), logLevel: 'warn' })
  await compressAll()
  await writeFile(STAMP, stamp)
  console.log('built console/dist')
}

/** What goes into the build: the console's files, those of src/lib that it imports, and the versions of its tools. */
async function stampOfSources(): Promise<string> {
  const hash = createHash('sha256')
  const patterns = ['console/**/*.{ts,svelte,css,html,svg,json}', 'src/lib/**/*.ts']
  const files = await Array.fromAsync(glob(patterns, { cwd: ROOT }))
  const sources = files.filter((file) => !/^console\/(dist\/|src\/api\/schema\.d\.ts$)/.test(file)).sort()
  for (const file of [...sources, 'tsconfig.json', 'package-lock.json']) {
    hash
      .update(file)
      .update('\0')
      .update(await readFile(join(ROOT, file)))
  }
  return hash.digest('hex')
}

async function compressAll(): Promise<void> {
  for await (const file of glob(TEXT, { cwd: DIST })) {
    const text = await readFile(join(DIST, file))
    const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
    await writeFile(join(DIST, `${file}.br`), await promisify(brotliCompress)(text, { params }))
    await writeFile(join(DIST, `${file}.gz`), await promisify(gzip)(text, { level: 9 }))
  }
}
