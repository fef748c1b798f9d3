import { once } from 'node:events'
import t from 'tap'
import { startExample, urlOf } from './processes.ts'

for (const [name, env] of [
  ['platform', {}],
  ['email-plugin', { WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}` }],
] as const) {
  t.test(`${name} runs as a process while the service is away, and ends when it is told to`, async (t) => {
    const child = startExample(t, name, env)
    const exited = once(child, 'exit')
    const response = await fetch(`${await urlOf(child)}/health`)
    t.same(await response.json(), { status: 'ok' })
    child.kill('SIGTERM')
    t.same(await exited, [0, null])
  })
}

t.test('the plugin says what is missing in its configuration, and ends', async (t) => {
  const child = startExample(t, 'email-plugin', {})
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  t.same(await once(child, 'close'), [2, null])
  t.match(complaint, /^The configuration is not usable:\n {2}WEBHOOK_SECRET: give the signing secret/)
})
