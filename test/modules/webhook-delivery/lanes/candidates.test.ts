import t from 'tap'
import { Candidates } from '#modules/webhook-delivery/lanes/candidates.ts'
import { TenantCapacity } from '#modules/webhook-delivery/lanes/capacity.ts'

t.test('of lanes that have work the tenants have some in turn, each within its share', (t) => {
  const candidates = new Candidates()
  for (let n = 0; n < 1_000; n++) candidates.set(`large ${n}`, 'proven', 'large')
  for (let n = 0; n < 2; n++) candidates.set(`small ${n}`, 'proven', 'small')
  candidates.set('other', 'unproven', 'other')
  const capacity = new TenantCapacity(20)
  t.strictSame(
    candidates.choose(capacity, 5),
    ['large 0', 'small 0', 'large 1', 'small 1', 'large 2'],
    'the better class first',
  )
  const rest = candidates.choose(new TenantCapacity(20), 100)
  t.equal(rest.filter((id) => id.startsWith('large')).length, 15)
  t.ok(rest.includes('other'))
  t.end()
})

t.test('it becomes known whose a lane is, and what was asked for is gone', (t) => {
  const candidates = new Candidates()
  candidates.set('a', 'proven')
  candidates.set('b', 'proven')
  t.strictSame(candidates.unknown, ['a', 'b'])
  candidates.set('a', 'failing', 'shop')
  t.strictSame([candidates.unknown, candidates.size], [['b'], 2])
  t.strictSame([...candidates.bestBut(new Set())], [{ tenantId: 'shop', laneClass: 'failing' }])
  t.strictSame([...candidates.bestBut(new Set(['shop']))], [])
  candidates.delete('a')
  candidates.delete('a')
  t.strictSame([candidates.has('a'), candidates.size], [false, 1])
  candidates.clear()
  t.equal(candidates.size, 0)
  t.end()
})
