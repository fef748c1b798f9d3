import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'

const EXAMPLES = resolve(import.meta.dirname, '../../examples')

function start(t: Test, name: string, env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [resolve(EXAMPLES, name, 'server.ts')], {
    env: { PATH: process.env['PATH'], PORT: '0', AUTOMATION_URL: 'http://127.0.0.1:1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  return child
}

async function urlOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('not piped')
  for await (const line of createInterface(stdout)) {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line.includes('listening') ? line : '') ?? []
    if (url !== undefined) return url
  }
  throw new Error('it ended before it listened')
}

for (const [name, env] of [
  ['platform', {}],
  ['email-plugin', { WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}` }],
] as const) {
  t.test(`${name} runs as a process while the service is away, and ends when it is told to`, async (t) => {
    const child = start(t, name, env)
    const exited = once(child, 'exit')
    const response = await fetch(`${await urlOf(child)}/health`)
    t.same(await response.json(), { status: 'ok' })
    child.kill('SIGTERM')
    t.same(await exited, [0, null])
  })
}

t.test('the plugin says what is missing in its configuration, and ends', async (t) => {
  const child = start(t, 'email-plugin', {})
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  t.same(await once(child, 'close'), [2, null])
  t.match(complaint, /^The configuration is not usable:\n {2}WEBHOOK_SECRET: give the signing secret/)
})
