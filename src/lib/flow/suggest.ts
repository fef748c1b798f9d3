const MAX_DISTANCE = 2
const MAX_CHARS = 64
const MAX_CANDIDATES = 500

/** The name that somebody who wrote `text` may have meant, at most two letters away; null if there is none. */
export function suggest(text: string, names: Iterable<string>): string | null {
  if (text.length > MAX_CHARS) return null
  let best: string | null = null
  let least = MAX_DISTANCE + 1
  let seen = 0
  for (const name of names) {
    if (++seen > MAX_CANDIDATES) break
    if (Math.abs(name.length - text.length) >= least) continue
    const distance = editDistance(text, name, least)
    if (distance < least) [best, least] = [name, distance]
  }
  return best
}

/** Levenshtein's distance, or `limit` if it is not below that: only what lies near the diagonal is looked at. */
function editDistance(a: string, b: string, limit: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => (index < limit ? index : limit))
  for (let at = 1; at <= a.length; at++) {
    const next = new Array<number>(b.length + 1).fill(limit)
    if (at < limit) next[0] = at
    let least = next[0] ?? limit
    for (let other = Math.max(1, at - limit); other <= Math.min(b.length, at + limit); other++) {
      const substituted = (row[other - 1] ?? limit) + (a[at - 1] === b[other - 1] ? 0 : 1)
      const distance = Math.min(substituted, (row[other] ?? limit) + 1, (next[other - 1] ?? limit) + 1, limit)
      next[other] = distance
      least = Math.min(least, distance)
    }
    if (least >= limit) return limit
    row = next
  }
  return row[b.length] ?? limit
}
