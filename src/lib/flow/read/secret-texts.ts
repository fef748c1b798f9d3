import { isSecretField, looksLikeKey } from '#lib/secrets/redact.ts'
import { holdsTemplate } from '#lib/template-text.ts'
import type { ProblemList } from '../problems.ts'
import { bodyList, type StepDraft } from './drafts.ts'
import { expandPath } from './template.ts'

const MESSAGE =
  'This looks like a key, which whoever reads the flow sees: keep it in a connection (POST /api/connections), or have the plugin keep it.'
/** Shorter ones under a secret-looking name are words, such as `"token": "none"`. */
const LITERAL_MIN_CHARS = 8
/** Of a URL's query, and of values under a secret-looking name. */
const PARAMETER = /[?&]([A-Za-z0-9_.-]{1,64})=([^&#]*)/g

/** Of one flow: more of them say nothing more. */
const MAX_WARNINGS = 20

/** Warns of literals that look like keys, wherever they stand in a step. */
export function reportSecretTexts(problems: ProblemList, { id, members, path }: StepDraft): void {
  // Each of them is a step of its own.
  const body = bodyList(members)
  const below: (string | number)[] = []
  const look = (name: string, value: unknown): void => {
    if (typeof value === 'string') {
      if (isSecret(name, value) && countOf(problems) < MAX_WARNINGS) {
        problems.report('secret_in_text', [...path, ...below], MESSAGE, id)
      }
      return
    }
    if (typeof value !== 'object' || value === null) return
    const isList = Array.isArray(value)
    for (const [member, inner] of Object.entries(value)) {
      if (typeof inner !== 'string' && (typeof inner !== 'object' || inner === null)) continue
      if (inner === body) continue
      below.push(isList ? Number(member) : member)
      look(isList ? name : member, inner)
      below.pop()
    }
  }
  look('', members)
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
