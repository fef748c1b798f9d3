import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { CHILD_ENV } from './child-env.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export interface CliResult {
  exitCode: number | null
  stdout: string
  stderr: string
}

/** Starts one of the command line programs below src, such as `key-cli.ts`, away from a developer's .env and .data. */
export function startCli(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
): { child: ChildProcess; result: Promise<CliResult> } {
  const child = spawn(process.execPath, [resolve(ROOT, 'src', program), ...args], {
    cwd: tmpdir(),
    env: { ...CHILD_ENV, HOME: process.env['HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const result = new Promise<CliResult>((done) =>
    child.on('close', (exitCode) => done({ exitCode, stdout, stderr })),
  )
  return { child, result }
}

export function runCli(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<CliResult> {
  return startCli(program, args, env).result
}
