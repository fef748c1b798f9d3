const MAX_DISTANCE = 2
const MAX_CHARS = 64
const MAX_CANDIDATES = 1000

/** The name that somebody who wrote `text` may have meant, at most two letters away; null if there is none. */
export function suggest(text: string, names: Iterable<string>): string | null {
  if (text.length > MAX_CHARS) return null
  let best: string | null = null
  let least = MAX_DISTANCE + 1
  let seen = 0
  for (const name of names) {
    if (++seen > MAX_CANDIDATES) break
    if (Math.abs(name.length - text.length) >= least) continue
    const distance = editDistance(text, name)
    if (distance < least) [best, least] = [name, distance]
  }
  return best
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let at = 1; at <= a.length; at++) {
    const next = [at]
    for (let other = 1; other <= b.length; other++) {
      const substituted = (row[other - 1] ?? 0) + (a[at - 1] === b[other - 1] ? 0 : 1)
      next.push(Math.min(substituted, (row[other] ?? 0) + 1, (next[other - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
