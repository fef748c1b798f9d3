const MAX_CHARS = 253
/** Services' names have underscores, which DNS takes, too. */
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/

/**
 * Ends of names that are never in the public DNS: reserved by RFC 2606, 6761, 6762, 7686, 8375 and 9476, by ICANN, or by
 * use in clusters and offices.
 */
const NEVER_PUBLIC: readonly string[] = [
  ...['localhost', 'localdomain', 'local', 'internal', 'invalid', 'onion', 'alt', 'home.arpa'],
  ...['svc', 'lan', 'intranet', 'private', 'corp', 'home'],
]

/**
 * Returns the reason why there can be no such host; null: there can. @param host as `new URL()` writes it, without a
 * dot at its end
 */
export function hostNameFault(host: string): string | null {
  if (host.length > MAX_CHARS) return `it is longer than ${MAX_CHARS} characters`
  for (const label of host.split('.')) {
    if (label === '') return 'it has an empty label'
    if (label.length > 63) return 'a label is longer than 63 characters'
    if (!LABEL.test(label)) return `"${label}" is not a label of letters, digits and inner hyphens`
  }
  return null
}

/** Returns whether nobody outside of a machine, an office or a cluster can be meant. */
export function isNeverPublicName(host: string): boolean {
  return !host.includes('.') || NEVER_PUBLIC.some((end) => host.endsWith(`.${end}`))
}
