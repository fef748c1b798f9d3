/**
 * `npm test`: all test files, or those that are named. Options go to tap's reporters. The exit code is 1 when a test
 * failed.
 */
import { allFiles, readArguments, runFiles } from './support/run-files.ts'

const { files, options } = readArguments(process.argv.slice(2))
await runFiles(files.length > 0 ? files : await allFiles(), options)
