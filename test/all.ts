/**
 * `npm test`: all test files, or those that are named. Options go to tap's reporters. The exit code is 1 when a test
 * failed.
 */
import { allFiles, runFiles } from './support/run-files.ts'

const args = process.argv.slice(2)
const named = args.filter((arg) => !arg.startsWith('-'))
const options = args.filter((arg) => arg.startsWith('-'))
await runFiles(named.length > 0 ? named : await allFiles(), options)
