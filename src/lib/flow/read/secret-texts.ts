import { isSecretField, looksLikeKey } from '#lib/secrets/redact.ts'
import { holdsTemplate } from '#lib/template-text.ts'
import type { ProblemList } from '../problems.ts'
import { bodyList, type StepDraft } from './drafts.ts'
import type { Part } from './source.ts'
import { expandPath } from './template.ts'

const MESSAGE =
  'This looks like a key, which whoever reads the flow sees: keep it in a connection (POST /api/connections), or have the plugin keep it.'
/** Shorter ones under a secret-looking name are words, such as `"token": "none"`. */
const LITERAL_MIN_CHARS = 8
/** Of a URL's query, and of values under a secret-looking name. */
const PARAMETER = /[?&]([A-Za-z0-9_.-]{1,64})=([^&#]*)/g

/** Definitions are refused beyond it. */
const MAX_DEPTH = 64
/** Of one flow: more of them say nothing more. */
const MAX_WARNINGS = 20

/** Warns of literals that look like keys, wherever they stand in a step. */
export function reportSecretTexts(problems: ProblemList, { id, members, path }: StepDraft): void {
  // Each of them is a step of its own.
  report(problems, { value: members, path, id }, bodyList(members))
}

/** The same of what stands beside the steps: initial values of variables, and what an inlet answers. */
export function reportSecretsBeside(problems: ProblemList, part: Part | null): void {
  if (part !== null) report(problems, { ...part, id: null })
}

function report(
  problems: ProblemList,
  { value, path, id }: Part & { id: string | null },
  except?: unknown,
): void {
  let left = MAX_WARNINGS - countOf(problems)
  for (const below of left <= 0 ? [] : secretTexts(value, '', except)) {
    problems.report('secret_in_text', [...path, ...below], MESSAGE, id)
    if (--left === 0) return
  }
}

/**
 * Finds text that looks like a key, by itself or by the name that it stands under.
 *
 * @param except is not looked into
 * @returns the path of each
 */
export function* secretTexts(
  value: unknown,
  name = '',
  except?: unknown,
  below: readonly (string | number)[] = [],
): Generator<readonly (string | number)[]> {
  if (typeof value === 'string') {
    if (isSecret(name, value)) yield below
    return
  }
  if (typeof value !== 'object' || value === null || below.length >= MAX_DEPTH) return
  const isList = Array.isArray(value)
  for (const [member, inner] of Object.entries(value)) {
    if (typeof inner !== 'string' && (typeof inner !== 'object' || inner === null)) continue
    if (except !== undefined && inner === except) continue
    yield* secretTexts(inner, isList ? name : member, except, [...below, isList ? Number(member) : member])
  }
}

function countOf({ problems }: ProblemList): number {
  return problems.filter(({ code }) => code === 'secret_in_text').length
}

function isSecret(name: string, text: string): boolean {
  if (looksLikeKey(text)) return true
  if (isSecretField(name)) return isLiteral(text)
  return (
    text.includes('://') &&
    [...text.matchAll(PARAMETER)].some(
      ([, parameter = '', value = '']) =>
        (isSecretField(parameter) || parameter === 'key') && isLiteral(value),
    )
  )
}

function isLiteral(text: string): boolean {
  return text.length >= LITERAL_MIN_CHARS && !holdsTemplate(text) && expandPath(text) === null
}
