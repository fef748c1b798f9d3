import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { codeBlocks } from '#test/support/markdown.ts'
import { temporaryFolder } from '#test/support/serve.ts'

/** A call of curl as a page prints it, after the shell has read it. */
export interface PrintedCall {
  method: string
  url: URL
  headers: [name: string, value: string][]
  /** Undefined if it has none. */
  body: unknown
}

const END = '\x1e'
/** Finds calls by curl alone: reading a page starts nothing. */
const CURL = `
curl() { printf '%s\\0' "$@" '${END}' >>"$CALLS"; printf '{"id":"%s"}' 0190f2a4-5b7e-7c3d-9a41-2f6f0c1d8e55; }
`
const ENV = {
  PLATFORM_KEY: `bcs_${'k'.repeat(40)}`,
  PLATFORM_URL: 'https://api.shop.example',
  PLATFORM_TOKEN: 'token',
  WEBHOOK_SECRET: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
}

/** Reads the calls in the shell blocks of a page, in order, by a shell whose curl only keeps its arguments. */
export async function printedCalls(t: Test, page: string): Promise<PrintedCall[]> {
  const folder = await temporaryFolder(t)
  const calls = join(folder, 'calls')
  await symlink('/bin/sed', join(folder, 'sed'))
  const script = CURL + codeBlocks(page, 'sh').join('\n')
  const shell = spawn('/bin/bash', ['-c', script], {
    cwd: folder,
    env: { ...ENV, CALLS: calls, PATH: folder },
    stdio: 'ignore',
  })
  await once(shell, 'close')
  const text = await readFile(calls, 'utf8')
  return text
    .split(`${END}\0`)
    .filter((call) => call !== '')
    .map((call) => readCall(call.split('\0').slice(0, -1)))
}

function readCall(words: string[]): PrintedCall {
  const call: Partial<PrintedCall> & Pick<PrintedCall, 'headers'> = { headers: [] }
  const given = [...words]
  for (let word = given.shift(); word !== undefined; word = given.shift()) {
    if (word === '-X') call.method = given.shift() ?? ''
    else if (word === '-d') call.body = JSON.parse(given.shift() ?? '')
    else if (word === '-H') call.headers.push(readHeader(given.shift() ?? ''))
    else if (!word.startsWith('-')) call.url = new URL(word)
  }
  if (call.url === undefined) throw new Error(`no URL: ${words.join(' ')}`)
  return { method: call.body === undefined ? 'GET' : 'POST', url: call.url, body: undefined, ...call }
}

function readHeader(text: string): [string, string] {
  const [name = '', value = ''] = text.split(/:\s*(.*)/s)
  return [name, value]
}
