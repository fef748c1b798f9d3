/**
 * Every pattern that takes this event type: what a subscription must name one of.
 * `a.b.c` → `a.b.c`, `a.b.*`, `a.*`, `*`: the inverse of lib/event-pattern.ts, for a look-up in the database.
 */
export function patternsFor(type: string): string[] {
  const patterns = [type]
  for (let dot = type.lastIndexOf('.'); dot > 0; dot = type.lastIndexOf('.', dot - 1)) {
    patterns.push(`${type.slice(0, dot)}.*`)
  }
  return [...patterns, '*']
}
