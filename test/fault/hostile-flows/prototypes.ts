import { flow, type Hostile, set, test } from './definition.ts'

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

export function prototypePaths(): Hostile[] {
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
