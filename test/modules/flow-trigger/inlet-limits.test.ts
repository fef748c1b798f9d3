import t from 'tap'
import type { Trigger } from '#lib/flow/types.ts'
import { startWorld } from '#test/modules/flow-engine/support.ts'
import { activate } from './support.ts'

const TRIGGER: Trigger = {
  id: 'trigger_1',
  type: 'webhook',
  filter: { field: 'trigger.a', operator: 'exists' },
}

t.test(
  'an inlet takes so many requests a minute, and guessing does not shut out those who know',
  async (t) => {
    const world = await startWorld(t)
    const shop = await world.shop()
    const [busy, calm, late] = await Promise.all(
      [0, 1, 2].map(async () => {
        const flow = await activate(world, shop, [TRIGGER], new Date())
        const states = await world.app.flowTriggers.describe(world.db, shop.tenant.id, [flow])
        return states.get(flow)?.inlets[0]?.url ?? ''
      }),
    )
    const post = (url = '') => world.app.inject({ method: 'POST', url, payload: {} })
    t.match(busy, /^\/hooks\//, 'without a public URL they are paths')
    t.equal((await post(calm)).statusCode, 202)
    for (let n = 0; n < 600; n += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post(busy)))
      t.ok(answers.every(({ statusCode }) => statusCode === 202))
    }
    const refused = await post(busy)
    t.equal(refused.statusCode, 429)
    t.match(refused.headers['retry-after'], /^[1-9]\d?$/)
    t.equal((await post(calm)).statusCode, 202, 'each for itself')

    const misses = new Set<number>()
    for (let n = 0; n < 61; n++) misses.add((await post(`/hooks/${String(n).padStart(43, 'x')}`)).statusCode)
    t.same([...misses], [404, 429])
    t.equal((await post(calm)).statusCode, 202, 'a URL that was in use goes on')
    t.equal((await post(late)).statusCode, 429, 'one that is new to this address waits')
  },
)

t.test('who knows the URL and cannot sign does not use up what the sender may send', async (t) => {
  const world = await startWorld(t)
  const shop = await world.shop()
  const values = { secret: 'secret-of-the-sender' }
  await shop.tenant.post('/api/connections', { name: 'inbound', kind: 'webhook_secret', values })
  const verify = { scheme: 'cloudevents', connection: 'inbound' } as const
  const flow = await activate(world, shop, [{ ...TRIGGER, verify }], new Date())
  const states = await world.app.flowTriggers.describe(world.db, shop.tenant.id, [flow])
  const url = states.get(flow)?.inlets[0]?.url ?? ''
  const post = async (remoteAddress: string, token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` }
    return (await world.app.inject({ method: 'POST', url, payload: {}, headers, remoteAddress })).statusCode
  }
  const seen = new Set<number>()
  for (let n = 0; n < 600; n += 20) {
    for (const status of await Promise.all(Array.from({ length: 20 }, () => post('10.0.0.1', 'guess')))) {
      seen.add(status)
    }
  }
  t.same([...seen], [401])
  t.equal(await post('10.0.0.1', 'guess'), 429)
  t.equal(await post('10.0.0.2', 'secret-of-the-sender'), 202)
  for (let n = 0; n < 598; n += 26) {
    const address = `10.0.1.${n % 3}`
    const sent = Array.from({ length: 26 }, () => post(address, 'secret-of-the-sender'))
    t.ok((await Promise.all(sent)).every((status) => status === 202))
  }
  t.equal(await post('10.0.0.3', 'secret-of-the-sender'), 202, 'the 600th')
  t.equal(await post('10.0.0.4', 'secret-of-the-sender'), 429, 'verified ones are counted together')
})
