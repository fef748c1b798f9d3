import { act, type Case, declared, flow, tests } from './definitions.ts'

export const CONDITION_CASES: readonly Case[] = [
  [
    'an operator that does not fit',
    declared(tests({ field: 'name', operator: 'gt', value: 5 })),
    'operator_does_not_fit',
    '/steps/0/condition/operator',
    /declared as string/,
  ],
  [
    'a missing operand',
    flow(tests({ field: 'a', operator: 'equals' })),
    'missing_operand',
    '/steps/0/condition',
    /value/,
  ],
  [
    'an extra operand',
    flow(tests({ field: 'a', operator: 'exists', value: 1 })),
    'extra_operand',
    '/steps/0/condition/value',
    /Remove/,
  ],
  [
    'an operand that does not fit',
    flow(tests({ field: 'a', operator: 'gt', value: '5' })),
    'invalid_operand',
    '/steps/0/condition/value',
    /a number/,
  ],
  [
    'an unknown operator',
    flow(tests({ field: 'a', operator: 'is' })),
    'unknown_operator',
    '/steps/0/condition/operator',
    /equals/,
  ],
  [
    'an unsafe pattern',
    flow(tests({ field: 'a', operator: 'matches', value: '(a)\\1' })),
    'unsafe_pattern',
    '/steps/0/condition/value',
    /RE2/,
  ],
  [
    'a field that is no path',
    flow(tests({ field: 'a..b', operator: 'exists' })),
    'invalid_path',
    '/steps/0/condition/field',
    /path/,
  ],
  ['an empty group', flow(tests({ all: [] })), 'condition_empty', '/steps/0/condition/all', /Put/],
  [
    'a condition that is none',
    flow([{ id: 'c', type: 'condition', condition: 5 }, act('a')]),
    'condition_malformed',
    '/steps/0/condition',
    /Write/,
  ],
  [
    'too deep groups',
    flow(
      tests({
        all: [{ all: [{ all: [{ all: [{ all: [{ all: [{ field: 'a', operator: 'exists' }] }] }] }] }] }],
      }),
    ),
    'condition_too_deep',
    '/steps/0/condition/all/0/all/0/all/0/all/0/all/0/all',
    /5/,
  ],
  [
    'too many tests',
    flow(
      tests({ any: Array.from({ length: 101 }, (_, index) => ({ field: `a${index}`, operator: 'exists' })) }),
    ),
    'condition_too_large',
    '/steps/0/condition/any/100',
    /100/,
  ],
  [
    'always false',
    flow(
      tests({
        all: [
          { field: 'a', operator: 'gt', value: 5 },
          { field: 'a', operator: 'lt', value: 3 },
        ],
      }),
    ),
    'always_false',
    '/steps/0/condition/all/1',
    /at once/,
  ],
  [
    'always true',
    flow(
      tests({
        any: [
          { field: 'a', operator: 'exists' },
          { field: 'a', operator: 'not_exists' },
        ],
      }),
    ),
    'always_true',
    '/steps/0/condition/any/1',
    /either/,
  ],
  [
    'never equal to a value that the schema rules out',
    declared(tests({ field: 'status', operator: 'equals', value: 'paid' })),
    'always_false',
    '/steps/0/condition/value',
    /new, active/,
  ],
  [
    'never equal to another type',
    declared(tests({ field: 'total', operator: 'equals', value: '10' })),
    'always_false',
    '/steps/0/condition/value',
    /declared as number/,
  ],
  [
    'a case that an earlier one takes',
    flow([
      {
        id: 's',
        type: 'switch',
        cases: [
          { name: 'a', field: 'x', operator: 'exists' },
          { name: 'b', field: 'x', operator: 'exists' },
        ],
        on_a: 'a',
      },
      act('a'),
    ]),
    'always_false',
    '/steps/0/cases/1',
    /earlier/,
  ],
]
