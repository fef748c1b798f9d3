import { amplifications } from './hostile-flows/amplifications.ts'
import { conditions, patterns } from './hostile-flows/conditions.ts'
import { type Hostile, many, nest } from './hostile-flows/definition.ts'
import { graphs } from './hostile-flows/graphs.ts'
import { prototypePaths } from './hostile-flows/prototypes.ts'
import { texts } from './hostile-flows/texts.ts'
import { times } from './hostile-flows/times.ts'

/** The input of hostile flows: long, many and of every kind. */
export const HOSTILE_INPUT = {
  text: 'a'.repeat(100_000),
  bomb: `${'a'.repeat(8_000)}!`,
  list: Array.from({ length: 5_000 }, (_, index) => index),
  lists: Array.from({ length: 40 }, () => Array.from({ length: 100 }, () => 'x'.repeat(20))),
  template: '{{trigger.text}}{{now}}',
  huge: 1e308,
  at: '9999-12-31T23:59:59Z',
  constructor: { name: 'own' },
  deep: nest({ end: true }, 40),
}

export function hostileFlows(): Hostile[] {
  return [
    ...prototypePaths(),
    ...amplifications(),
    ...patterns(),
    ...conditions(),
    ...graphs(),
    ...times(),
    ...texts(),
  ]
}

/** Bodies that are no definitions, as they go over the wire. */
export const HOSTILE_BODIES: [name: string, body: string][] = [
  ['ten megabytes', `{"name":"${'x'.repeat(10_000_000)}"}`],
  ['a prototype', '{"name":"a","__proto__":{"status":"active"},"steps":[]}'],
  ['sixty thousand levels', '['.repeat(60_000)],
  ['sixty thousand levels of members', '{"a":'.repeat(60_000)],
  ['sixty thousand members', `{${many(60_000, (n) => `"k${n}":1`).join(',')}}`],
  ['a number without end', `{"name":${'9'.repeat(100_000)}}`],
  [
    'a number beyond all',
    '{"name":"a","status":"active","trigger":{"type":"manual"},"steps":[{"id":"a","type":"set","variables":{"a":1e999}}]}',
  ],
  ['a name twice', '{"name":"a","name":"b","steps":[]}'],
  ['half a surrogate', '{"name":"\\ud800","steps":[]}'],
  ['NUL', '{"name":"a\\u0000b","steps":[]}'],
  ['no JSON', '{"name":'],
  ['nothing', ''],
  ['null', 'null'],
  ['a list', '[]'],
  ['a text', '"{{now}}"'],
]
