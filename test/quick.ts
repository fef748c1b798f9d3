/**
 * `npm run test:quick`: all test files but those in test/slow-files.ts, without coverage. Arguments go to tap. The exit
 * code is tap's.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob } from 'node:fs/promises'
import { join } from 'node:path'
import { SLOW_FILES } from './slow-files.ts'

const ROOT = join(import.meta.dirname, '..')

async function filesOf(patterns: readonly string[]): Promise<string[]> {
  return (await Array.fromAsync(glob([...patterns], { cwd: ROOT }))).sort()
}

const all = await filesOf(['test/**/*.test.ts'])
const leftOut = await filesOf(SLOW_FILES.flatMap(({ files }) => files))
const quick = all.filter((file) => !leftOut.includes(file))
const startedAt = performance.now()
const tap = spawn('tap', ['--disable-coverage', ...process.argv.slice(2), ...quick], {
  cwd: ROOT,
  stdio: 'inherit',
})
const [code] = (await once(tap, 'close')) as [number | null]
const seconds = Math.round((performance.now() - startedAt) / 1_000)

console.log(`\n${quick.length} of ${all.length} test files ran, in ${seconds} s. Left out are`)
for (const { why, files } of SLOW_FILES) console.log(`  ${(await filesOf(files)).length} files: ${why}`)
console.log('Before a change is merged all of them run: npm test. Which ones these are: test/slow-files.ts')
process.exitCode = code ?? 1
