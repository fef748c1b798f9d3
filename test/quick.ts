/**
 * `npm run test:quick`: all test files but those in test/slow-files.ts. Arguments go to tap's reporters. The exit code
 * is 1 when a test failed.
 */
import { allFiles, filesOf, runFiles, slowFiles } from './support/run-files.ts'
import { SLOW_FILES } from './slow-files.ts'

const all = await allFiles()
const slow = new Set(await slowFiles())
const quick = all.filter((file) => !slow.has(file))
const startedAt = performance.now()
await runFiles(quick, process.argv.slice(2))
const seconds = Math.round((performance.now() - startedAt) / 1_000)

console.log(`\n${quick.length} of ${all.length} test files ran, in ${seconds} s. Left out are`)
for (const { why, files } of SLOW_FILES) console.log(`  ${(await filesOf(files)).length} files: ${why}`)
console.log('Before a change is merged all of them run: npm test. Which ones these are: test/slow-files.ts')
