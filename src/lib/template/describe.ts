import { OPERATORS } from '#lib/condition/operators/index.ts'
import { isWritable, SYMBOLS, type Tag } from './parse-tag.ts'

export interface TagDescription {
  name: Tag
  form: string
  description: string
}

const DESCRIPTIONS: Readonly<Record<Tag, readonly [form: string, description: string]>> = {
  for: [
    '{% for name in list %}',
    'What follows, once for each item of a list. In it the name is the item, and forloop has index, index0, first, last and length.',
  ],
  endfor: ['{% endfor %}', 'The end of a for.'],
  if: [
    '{% if test %}',
    'What follows, if the test holds: a path alone, or a path, an operator and what it compares with.',
  ],
  elsif: ['{% elsif test %}', 'What follows, if nothing before held and the test does.'],
  else: [
    '{% else %}',
    'What follows, if nothing before held; of a for, if its list has no items or is missing.',
  ],
  endif: ['{% endif %}', 'The end of an if.'],
}

/** The tags for builders and docs. */
export function describeTags(): TagDescription[] {
  return Object.entries(DESCRIPTIONS).map(([name, [form, description]]) => ({
    name: name as Tag,
    form,
    description,
  }))
}

/** Describes how tests in tags write the operators that they know: by their names, and by these. */
export function describeTestOperators(): Map<string, string[]> {
  const symbols = Object.entries(SYMBOLS)
  return new Map(
    [...OPERATORS.values()]
      .filter(isWritable)
      .map(({ name }) => [name, symbols.flatMap(([symbol, meant]) => (meant === name ? [symbol] : []))]),
  )
}
