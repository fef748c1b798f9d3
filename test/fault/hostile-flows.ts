/** A definition that means no good, by what it tries. */
export interface Hostile {
  name: string
  definition: unknown
}

const MANUAL = { type: 'manual' }

/** What hostile flows are run with: long, many and of every kind. */
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

function nest(inner: unknown, depth: number): unknown {
  let value = inner
  for (let level = 0; level < depth; level++) value = { a: value }
  return value
}

function flow(name: string, steps: unknown, rest: Record<string, unknown> = {}): Hostile {
  return { name, definition: { name: 'hostile', status: 'active', trigger: MANUAL, steps, ...rest } }
}

function set(name: string, template: unknown): Hostile {
  return flow(name, [{ id: 'set', type: 'set', variables: { value: template } }])
}

function test(name: string, condition: unknown): Hostile {
  return flow(name, [{ id: 'test', type: 'condition', condition, on_true: 'end', on_false: 'end' }])
}

const PROTOTYPE_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  '__defineGetter__',
  'constructor.constructor',
  'constructor.prototype.polluted',
]

function prototypePaths(): Hostile[] {
  const roots = [
    'trigger',
    'trigger.text',
    'trigger.list',
    'variables',
    'execution',
    'tenant',
    'item',
    'steps',
  ]
  return PROTOTYPE_NAMES.flatMap((member) => [
    ...roots.map((root) => set(`template ${root}.${member}`, `{{${root}.${member} | default: "none"}}`)),
    set(`filter ${member}`, `{{trigger.text | ${member}}}`),
    test(`condition ${member}`, { field: `trigger.${member}`, operator: 'exists' }),
    test(`operator ${member}`, { field: 'trigger.text', operator: member, value: 1 }),
    flow(`step type ${member}`, [{ id: 'a', type: member }]),
    flow(`step id ${member}`, [{ id: member, type: 'set', variables: { a: 1 } }]),
    flow(`port ${member}`, [{ id: 'a', type: 'set', variables: { a: 1 }, [`on_${member}`]: member }]),
    flow(`variable ${member}`, [{ id: 'a', type: 'set', variables: { [member]: '{{trigger.huge}}' } }]),
  ])
}

function amplifications(): Hostile[] {
  const all = '{{trigger.text}}'
  const chain = Array.from({ length: 60 }, () => 'replace: "a", "aaaaaaaaaa"').join(' | ')
  return [
    set('one text twenty times', all.repeat(20)),
    set('one text a thousand times', all.repeat(1_000)),
    set('a thousand members of it', Object.fromEntries(many(1_000, (n) => [`m${n}`, all]))),
    set(
      'a list of ten thousand of it',
      many(10_000, () => all),
    ),
    set('replace by more, sixty times', `{{trigger.text | ${chain}}}`),
    set('replace nothing by something', '{{trigger.text | replace: "", "0123456789"}}'),
    set('join by a long text', `{{trigger.list | join: "${'y'.repeat(5_000)}"}}`),
    set('split into characters', '{{trigger.text | split: "" | json | json | json | json}}'),
    set('json of json of json', `{{trigger | ${many(30, () => 'json').join(' | ')}}}`),
    set('escape of escape', `{{trigger.text | ${many(40, () => 'escape').join(' | ')}}}`),
    set('url_encode of url_encode', `{{trigger.template | ${many(60, () => 'url_encode').join(' | ')}}}`),
    set('a thousand filters', `{{trigger.text | ${many(1_000, () => 'upcase').join(' | ')}}}`),
    set('a long template', `{{trigger.${'a.'.repeat(20_000)}b}}`),
    set('open braces', '{{'.repeat(30_000)),
    set('closed and open', '}}{{'.repeat(20_000)),
    set('a filter of quotes', `{{trigger.text | replace: ${'"'.repeat(20_001)}}}`),
    set('spaces', `{{${' '.repeat(50_000)}now${' '.repeat(50_000)}}}`),
    set('pipes', `{{now${'|'.repeat(50_000)}}}`),
    set('indexes', `{{trigger.list${'[0]'.repeat(20_000)}}}`),
    set('an index beyond all', '{{trigger.list[99999999999999999999] | default: 1}}'),
    set('a negative index', '{{trigger.list[-1] | default: 1}}'),
    flow(
      'each step twice the one before it',
      many(40, (n) => ({
        id: `s${n}`,
        type: 'set',
        variables: { value: n === 0 ? all : '{{variables.value}}{{variables.value}}' },
      })),
    ),
    flow(
      'each list of lists of the one before it',
      many(40, (n) => ({
        id: `s${n}`,
        type: 'set',
        variables: { value: n === 0 ? ['x'] : ['{{variables.value}}', '{{variables.value}}'] },
      })),
    ),
  ]
}

const PATTERNS = [
  '^(a+)+$',
  '(a|a)*$',
  '(a|aa)+$',
  '^(.*a){25}$',
  '(.*)*(.*)*(.*)*b',
  '((a{1,100}){1,100}){1,100}',
  'a{1,1000}a{1,1000}',
  '(?:a?){400}a{400}',
  '^(?=(a+))\\1+$',
  '(?<=a{100})b',
  '[a-z]+'.repeat(80),
  '('.repeat(250) + ')'.repeat(250),
  '('.repeat(500),
  '[^'.repeat(100),
  '\\p{L}+\\p{N}*\\p{L}+$',
  '(?i)(ſ|K|s|k)+$',
  'x'.repeat(600),
  '\\1',
  '(?R)',
  '(*UTF8)a',
  '(?P<a>a)(?P<a>b)',
  'a{999999999}',
  '[\u{10ffff}-\0]',
  '\ud800',
]

function patterns(): Hostile[] {
  return PATTERNS.flatMap((value) => [
    test(`matches ${value.slice(0, 30)}`, { field: 'trigger.bomb', operator: 'matches', value }),
    test(`any of a list matches ${value.slice(0, 30)}`, {
      field: 'trigger.lists',
      operator: 'any',
      value: { field: 'item', operator: 'matches', value },
    }),
  ])
}

function conditions(): Hostile[] {
  const leaf = { field: 'trigger.text', operator: 'exists' }
  const groups = (depth: number): unknown => {
    let group: unknown = leaf
    for (let level = 0; level < depth; level++) group = { all: [group] }
    return group
  }
  return [
    ...[6, 20, 29].map((depth) => test(`groups ${depth} deep`, groups(depth))),
    test('five thousand tests', {
      any: many(5_000, (n) => ({ ...leaf, operator: 'equals', value: `${n}` })),
    }),
    test('a group of nothing', { all: [] }),
    test('a group that is a text', { all: 'x' }),
    test('in a list of twenty thousand', {
      field: 'trigger.text',
      operator: 'in',
      value: many(20_000, String),
    }),
    test('between the wrong way', { field: 'trigger.huge', operator: 'between', value: [1e308, -1e308] }),
    test('within the last eternity', { field: 'trigger.at', operator: 'within_last', value: '1e99 days' }),
    test('older than a negative time', { field: 'trigger.at', operator: 'older_than', value: '-5 days' }),
    test('before no day', { field: 'trigger.at', operator: 'before', value: '2030-02-30' }),
    test('equals itself, deeply', { field: 'trigger.deep', operator: 'equals', value: nest(1, 25) }),
    test('contains a list', { field: 'trigger.list', operator: 'contains', value: [[[]]] }),
    test('a field of dots', { field: '.'.repeat(10_000), operator: 'exists' }),
    test('a field of nothing', { field: '', operator: 'exists' }),
    test('a field that is an object', { field: { a: 1 }, operator: 'exists' }),
    test('count of a huge number', { field: 'trigger.list', operator: 'count', value: 1e300 }),
  ]
}

function graphs(): Hostile[] {
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
      cases: many(100, (m) => ({
        name: `c${m}`,
        condition: { field: 'trigger.huge', operator: 'equals', value: m },
        to: `s${(n * 7 + m) % count}`,
      })),
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
    flow('a hundred switches to everywhere', everywhere(50)),
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
      looped('each', 'small', many(1_000, String), { max_items: 1_000, concurrency: 50 }),
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

const CRONS = [
  '* * * * * *',
  '*/0 * * * *',
  '0 0 30 2 *',
  '0 0 31 4,6,9,11 *',
  '0-59/1 0-23/1 1-31/1 1-12/1 0-7/1',
  '60 24 32 13 8',
  `${many(3_000, String).join(',')} * * * *`,
  '@reboot',
  '@every 1s',
  '0 0 L * *',
  '0 0 * * MON#99',
  '-1 * * * *',
  '1e3 * * * *',
  '0 0 1 1 * 1969',
  '* '.repeat(10_000),
  '\u0660 \u0660 * * *',
  '; drop table events',
  '',
]

function times(): Hostile[] {
  const step = { id: 'a', type: 'stop' }
  const delays: unknown[] = [
    '1e9 days',
    '-1 days',
    '0 seconds',
    'P99999999999Y',
    'PT1e400H',
    '9'.repeat(10_000),
    '{{trigger.text}}',
    '{{trigger.huge}} days',
    null,
    [],
    1e300,
  ]
  const sums = [
    '{{now + 999999999999 days}}',
    '{{now - 999999999999 weeks}}',
    '{{trigger.at + 1 days}}',
    '{{trigger.huge | times: 10}}',
    '{{trigger.huge | divided_by: 0}}',
    '{{trigger.huge | round: 400}}',
    '{{trigger.text | truncate: 1e99}}',
    '{{trigger.text | truncate: -1}}',
    '{{trigger.at | date: "%Y", "Not/AZone"}}',
    `{{now | date: "${'%Y'.repeat(5_000)}"}}`,
    '{{trigger.huge | money: "XXXXXXXX"}}',
    '{{now + {{now}}}}',
  ]
  return [
    ...CRONS.map((cron) =>
      flow(`cron ${cron.slice(0, 30)}`, [step], { trigger: { type: 'schedule', cron, timezone: 'UTC' } }),
    ),
    ...['Mars/Olympus', '../../etc/passwd', '', '+99:99', 'UTC\u0000'].map((timezone) =>
      flow(`zone ${timezone}`, [step], { trigger: { type: 'schedule', cron: '0 9 * * *', timezone } }),
    ),
    ...delays.map((duration) =>
      flow(`delay ${String(duration).slice(0, 30)}`, [{ id: 'wait', type: 'delay', duration }]),
    ),
    ...sums.map((template) => set(`sum ${template.slice(0, 40)}`, template)),
    flow('a delay until the end of time', [
      { id: 'wait', type: 'delay', until: '{{trigger.at}}', offset: '300 days' },
    ]),
    flow('a wait without end', [
      {
        id: 'wait',
        type: 'wait_event',
        any: [{ event: 'order.paid', match: { id: '{{execution.id}}' } }],
        timeout: '1e12 days',
      },
    ]),
    flow('a wait for a thousand events', [
      {
        id: 'wait',
        type: 'wait_event',
        any: many(1_000, (n) => ({ event: 'order.paid', match: { [`p${n}`]: '{{trigger.text}}' } })),
        timeout: '1 days',
      },
    ]),
  ]
}

function texts(): Hostile[] {
  const odd = [
    '\u202e\u2066{{now}}',
    '{{\u00a0now}}',
    '{{now\u200b}}',
    '{{ｎｏｗ}}',
    '{{trigger.\u{1f4a3}}}',
    '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}'.repeat(5_000),
    'Z' + '\u0300'.repeat(50_000),
    '{{trigger["text"]}}',
    "{{trigger.text | default: '}}'}}",
    '{% include "/etc/passwd" %}',
    '${process.exit(1)}',
    '{{#each trigger.list}}x{{/each}}',
    '{{{{{{now}}}}}}',
    '{{now}}'.repeat(10_000),
  ]
  const prompt = { prompt: '{{trigger.text}}'.repeat(50), max_tokens: 1e9 }
  const message = { id: 'mail', type: 'message', channel: 'email', to: 'a@example.com', subject: 's' }
  return [
    ...odd.map((template) => set(`text ${template.slice(0, 20)}`, template)),
    flow('a prompt that grows', [{ ...message, body: 'x', ai: prompt }]),
    flow('a prompt of nothing else than braces', [
      { ...message, body: 'x', ai: { prompt: '{{'.repeat(10_000) } },
    ]),
    flow('a mail that grows', [{ ...message, body: '{{trigger.text}}'.repeat(50) }]),
    flow('a mail to a text without end', [{ ...message, to: '{{trigger.text}}', body: 'x' }]),
    flow('a host that is templated', [
      { id: 'h', type: 'http', method: 'GET', url: 'http://{{trigger.text}}/' },
    ]),
    flow('an address of the house', [
      {
        id: 'h',
        type: 'http',
        method: 'GET',
        url: 'http://169.254.169.254/latest/',
        retry: { max_retries: 0 },
      },
    ]),
    flow('a file', [{ id: 'h', type: 'http', method: 'GET', url: 'file:///etc/passwd' }]),
    flow('a body that grows', [
      {
        id: 'h',
        type: 'http',
        method: 'POST',
        url: 'http://127.0.0.1:9/',
        body: many(20, () => '{{trigger.text}}'),
        retry: { max_retries: 0 },
      },
    ]),
    flow('numbers of every size', [
      { id: 'a', type: 'set', variables: { a: -0, b: 1e308, c: 5e-324, d: Number.MAX_SAFE_INTEGER } },
    ]),
    flow('settings beyond all', [{ id: 'a', type: 'stop' }], {
      settings: { timeout: 1e308, retry_count: 1e9, retry_delay: -1, lifetime: '1e9 days' },
    }),
    flow('an enrolment key without end', [{ id: 'a', type: 'stop' }], {
      settings: { enrolment: { key: '{{trigger.text}}'.repeat(100), while_active: 'restart' } },
    }),
    flow('variables of everything', [{ id: 'a', type: 'stop' }], {
      variables: Object.fromEntries(many(5_000, (n) => [`v${n}`, n])),
    }),
    flow('deep input', [{ id: 'a', type: 'set', variables: { a: nest(1, 50) } }]),
  ]
}

function many<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
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
