import { flow, type Hostile, many, set } from './definition.ts'

export function amplifications(): Hostile[] {
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
