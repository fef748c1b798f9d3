import t from 'tap'
import { splitDetail } from '#console/src/pages/audit/detail.ts'

t.test('only what is stored sealed is said to be secret, and only of an entry with values', (t) => {
  const change = { before: { name: 'a' }, after: { name: 'b' }, changed: ['name', 'config', 'metadata'] }
  t.match(splitDetail(change), { before: { name: 'a' }, secret: ['config'], named: ['metadata'] })
  const old = splitDetail({ changed: ['name', 'config'] })
  t.match(old, { secret: [], named: ['name', 'config'] })
  t.equal(old.before, undefined)
  t.end()
})
