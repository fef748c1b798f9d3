import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import edge from '#infra/http/edge.ts'
import problems from '#infra/http/problems.ts'
import { loopShare } from '#lib/async/loop-share.ts'

/** More than what the loop counts as busy. */
const WORK_MS = 700

function work(): void {
  const end = performance.now() + WORK_MS
  while (performance.now() < end) continue
}

async function start(t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(problems)
  app.decorateRequest('actor', null as never)
  await app.register(edge)
  app.post(
    '/checked',
    {
      schema: { body: { type: 'object' } },
      validatorCompiler: () => () => {
        work()
        return true
      },
    },
    async () => 'done',
  )
  app.get('/written', async () => ({
    toJSON: () => {
      // More than the other one had: heavy is who has had its part of the loop or more.
      work()
      work()
      return {}
    },
  }))
  app.get('/free', async () => ({}))
  return app
}

t.test('who has a body checked or an answer written for long is charged for it', async (t) => {
  const app = await start(t)
  const from = async (remoteAddress: string, url: string, body?: object): Promise<void> => {
    const given = body === undefined ? {} : { payload: body }
    const { statusCode } = await app.inject({
      method: body === undefined ? 'GET' : 'POST',
      url,
      remoteAddress,
      ...given,
    })
    t.equal(statusCode, 200)
  }
  await from('10.0.0.3', '/free')
  t.notOk(loopShare.isHeavy('10.0.0.3'))
  await from('10.0.0.1', '/checked', {})
  t.ok(loopShare.isHeavy('10.0.0.1'), 'the check of a body')
  await from('10.0.0.2', '/written')
  t.ok(loopShare.isHeavy('10.0.0.2'), 'the text of an answer')
  t.notOk(loopShare.isHeavy('10.0.0.3'), 'and nobody else')
})
