import { flow, type Hostile, many } from './definition.ts'

export function graphs(): Hostile[] {
  const backwards = (count: number) =>
    many(count, (n) => ({
      id: `s${n}`,
      type: 'condition',
      condition: { field: 'trigger.text', operator: 'exists' },
      on_true: `s${Math.max(0, n - 1)}`,
      on_false: n + 1 < count ? `s${n + 1}` : 's0',
    }))
  const everywhere = (count: number) =>
    many(count, (n) => ({
      id: `s${n}`,
      type: 'switch',
      cases: many(20, (m) => ({
        name: `c${m}`,
        condition: { field: 'trigger.huge', operator: 'equals', value: m },
      })),
      ...Object.fromEntries(many(20, (m) => [`on_c${m}`, `s${(n * 7 + m) % count}`])),
    }))
  const ladder = many(490, (n) => ({
    id: `s${n}`,
    type: 'condition',
    condition: { field: 'trigger.text', operator: 'exists' },
    on_true: n + 1 < 490 ? `s${n + 1}` : 'end',
    on_false: n + 2 < 490 ? `s${n + 2}` : 'end',
  }))
  const looped = (id: string, body: string, list: unknown, rest: object = {}) => ({
    id,
    type: 'for_each',
    list,
    body,
    ...rest,
  })
  const small = { id: 'small', type: 'set', variables: { n: '{{item}}' }, next: 'end' }
  return [
    flow('five hundred steps, every edge backwards', backwards(500)),
    flow('a step to itself', [{ id: 'a', type: 'set', variables: { a: 1 }, next: 'a' }]),
    flow('two steps round', [
      { id: 'a', type: 'set', variables: { a: 1 }, next: 'b' },
      { id: 'b', type: 'set', variables: { a: 1 }, next: 'a' },
    ]),
    flow('fifty switches to everywhere', everywhere(50)),
    flow('paths like rabbits, forwards', ladder),
    flow(
      'the same id five hundred times',
      many(500, () => ({ id: 'a', type: 'set', variables: { a: 1 } })),
    ),
    flow(
      'ten thousand steps',
      many(10_000, (n) => ({ id: `s${n}`, type: 'stop' })),
    ),
    flow('no steps', []),
    flow('steps that are no list', { 0: { id: 'a' }, length: 1 }),
    flow('steps of nothing', [null, 1, 'x', [], {}]),
    flow('more items than allowed', [looped('each', 'small', '{{trigger.list}}'), small]),
    flow('as many items as allowed', [
      looped('each', 'small', many(1_000, String), { max_items: 1_000, concurrency: 20 }),
      small,
    ]),
    flow('items beyond all bounds', [
      looped('each', 'small', '{{trigger.list}}', { max_items: 1e9, concurrency: 1e9 }),
      small,
    ]),
    flow('a loop in itself', [looped('each', 'each', [1])]),
    flow('a loop in a loop', [looped('a', 'b', [1]), looped('b', 'small', [1]), small]),
    flow('a list that is none', [looped('each', 'small', '{{trigger.text}}'), small]),
    flow('a handler of itself', [{ id: 'a', type: 'stop', outcome: 'failed' }], {
      error_handlers: [{ id: 'h', type: 'set', variables: { a: '{{trigger.none}}' }, next: 'h' }],
    }),
    flow('a thousand triggers', [{ id: 'a', type: 'stop' }], {
      trigger: undefined,
      triggers: many(1_000, (n) => ({ id: `t${n}`, type: 'event', event_types: ['order.created'] })),
    }),
    flow('a trigger of a thousand types', [{ id: 'a', type: 'stop' }], {
      trigger: { type: 'event', event_types: many(1_000, (n) => `order.x${n}`) },
    }),
  ]
}
