import t from 'tap'
import { BodyCache } from '#modules/webhook-delivery/due/body-cache.ts'

const body = (letter: string, chars = 10) => ({ body: letter.repeat(chars) })

t.test('bodies are found until others have filled the cache since they were last asked for', async (t) => {
  const cache = new BodyCache<{ body: string }>(100)
  cache.set('kept', body('k'))
  cache.set('forgotten', body('f'))
  for (let n = 0; n < 12; n++) {
    cache.set(`filler ${n}`, body('x'))
    t.same(cache.get('kept'), body('k'))
  }
  t.equal(cache.get('forgotten'), undefined)
})

t.test('the cache never holds more than its bound', async (t) => {
  const cache = new BodyCache<{ body: string }>(100)
  const ids = Array.from({ length: 50 }, (_, n) => String(n))
  for (const id of ids) cache.set(id, body('x'))
  const held = ids.filter((id) => cache.get(id) !== undefined)
  t.ok(held.length > 0)
  t.ok(held.length * 10 <= 100, `${held.length} bodies`)
})

t.test('a body that would push out many others is not kept', async (t) => {
  const cache = new BodyCache<{ body: string }>(100)
  cache.set('large', body('x', 13))
  t.equal(cache.get('large'), undefined)
})

t.test('a cleared cache holds nothing', async (t) => {
  const cache = new BodyCache<{ body: string }>(100)
  cache.set('a', body('a'))
  cache.clear()
  t.equal(cache.get('a'), undefined)
})
