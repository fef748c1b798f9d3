import { holdsTemplate } from '#lib/template-text.ts'

/** Regular expressions of one definition: to check one takes up to a millisecond. */
export const MAX_PATTERNS = 500

/**
 * The regular expressions in a definition, wherever its tests stand, each once; those that hold a template are only
 * known at run time.
 */
export function patternsOf(definition: unknown): Set<string> {
  const patterns = new Set<string>()
  const open: unknown[] = [definition]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== 'object' || value === null) continue
    const { operator, value: operand } = value as { operator?: unknown; value?: unknown }
    if (operator === 'matches' && typeof operand === 'string' && !holdsTemplate(operand))
      patterns.add(operand)
    for (const member of Object.values(value)) {
      if (typeof member === 'object' && member !== null) open.push(member)
    }
  }
  return patterns
}
