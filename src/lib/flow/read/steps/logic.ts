import type { Condition } from '#lib/condition/index.ts'
import { GROUP_NAMES } from '#lib/condition/shape.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { isId } from '#lib/flow/ids.ts'
import { readCondition } from '../condition.ts'
import type { Reader } from '../reader.ts'
import { at, createReader, finish, has, readChoice, report, take } from '../reader.ts'
import { readTemplateText, readTree } from '../template.ts'
import type { StopOutcome, SwitchCase } from '#lib/flow/types.ts'

const INLINE_NAMES = ['field', 'operator', 'value', ...GROUP_NAMES] as const
const MAX_CASES = 50
const MAX_VARIABLES = 50
const OUTCOMES: readonly StopOutcome[] = ['done', 'filtered', 'stopped', 'failed']

/** The condition under `condition`, or written straight into the step, as the linear format does. */
export function readStepCondition(reader: Reader): { condition: Condition } | null {
  const inline = INLINE_NAMES.filter((name) => has(reader, name) || Object.hasOwn(reader.members, name))
  const nested = take(reader, 'condition')
  if (nested === undefined && inline.length === 0) {
    const message = 'Add "condition": { "field": "email", "operator": "exists" }.'
    report(reader, 'missing_property', at(reader, 'condition'), message)
    return null
  }
  if (nested !== undefined && inline.length > 0) {
    const message = `Give the condition once: remove ${inline.join(', ')} or "condition".`
    report(reader, 'malformed', at(reader, 'condition'), message)
    return null
  }
  const condition =
    nested === undefined
      ? readCondition(
          reader,
          Object.fromEntries(inline.map((name) => [name, reader.members[name]])),
          reader.path,
        )
      : readCondition(reader, nested, at(reader, 'condition'))
  return condition && { condition }
}

export function readCases(reader: Reader): { cases: SwitchCase[] } | null {
  const sent = take(reader, 'cases')
  const path = at(reader, 'cases')
  if (!Array.isArray(sent) || sent.length === 0 || sent.length > MAX_CASES) {
    const message = `Give "cases" a list of 1 to ${MAX_CASES} cases, each { "name", "condition" }.`
    report(reader, 'missing_property', path, message)
    return null
  }
  const names = new Set(['default'])
  const earlier = new Set<string>()
  const cases = sent.flatMap((each: unknown, index) => readCase(reader, each, index, names, earlier))
  return { cases }
}

function readCase(
  reader: Reader,
  value: unknown,
  index: number,
  names: Set<string>,
  earlier: Set<string>,
): SwitchCase[] {
  const path = [...at(reader, 'cases'), index]
  if (!isPlainObject(value)) {
    report(reader, 'malformed', path, 'Write a case as { "name": "vip", "condition": { … } }.')
    return []
  }
  const inner = createReader(reader.compilation, value, path, reader.stepId)
  const name = take(inner, 'name')
  if (!isId(name)) {
    const message = 'Name the case by lower-case letters, digits and _: it is the port on_<name>.'
    report(inner, 'invalid_id', at(inner, 'name'), message)
  } else if (names.has(name)) {
    report(inner, 'duplicate_id', at(inner, 'name'), `Rename the case: "${name}" is taken.`)
  } else names.add(name)
  const condition = readStepCondition(inner)
  finish(inner)
  if (condition === null || !isId(name)) return []
  const text = JSON.stringify(condition)
  if (earlier.has(text)) {
    report(inner, 'always_false', path, 'Never chosen: an earlier case has the same condition.')
  }
  earlier.add(text)
  return [{ name, ...condition }]
}

export function readVariables(reader: Reader): { variables: Record<string, unknown> } | null {
  const sent = take(reader, 'variables')
  const path = at(reader, 'variables')
  const names = isPlainObject(sent) ? Object.keys(sent) : []
  if (!isPlainObject(sent) || names.length === 0 || names.length > MAX_VARIABLES) {
    const message = `Give "variables" an object of 1 to ${MAX_VARIABLES} names with templates.`
    report(reader, 'missing_property', path, message)
    return null
  }
  for (const name of names) {
    if (isId(name)) continue
    report(reader, 'invalid_id', [...path, name], 'Name variables by lower-case letters, digits and _.')
  }
  readTree(reader, sent, path)
  return { variables: sent }
}

export function readStop(reader: Reader): { outcome: StopOutcome; reason: string | null } {
  return {
    outcome: readChoice(reader, 'outcome', OUTCOMES, 'stopped'),
    reason: readTemplateText(reader, 'reason'),
  }
}
