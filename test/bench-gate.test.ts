import t from 'tap'
import { missedGates, type Row } from '#bench/support/figure.ts'

const row = (name: string, ours: number, isGate: boolean): Row => ({
  name,
  ours,
  ceiling: null,
  unit: 'ms',
  target: { of: 'ours', atMost: 2_000 },
  ...(isGate && { isGate }),
})

t.test('a run fails by a gate that is not met, and by no other target', (t) => {
  const rows = [
    row('met', 2_000, true),
    row('late', 2_001, true),
    row('nothing arrived', Number.NaN, true),
    row('a wish', 9_000, false),
  ]
  t.strictSame(
    missedGates(rows).map(({ name }) => name),
    ['late', 'nothing arrived'],
  )
  t.end()
})
