const HOURS: Readonly<Record<string, number>> = { '1h': 1, '24h': 24, '7d': 168, '30d': 720 }

/** To the minute: a list that is looked at again asks the same question. */
const ROUNDED_MS = 60_000

/** The beginning of a period that ends now, RFC 3339; undefined for none. */
export function sinceOf(period: string | null): string | undefined {
  const hours = HOURS[period ?? '']
  if (hours === undefined) return undefined
  const now = Math.floor(Date.now() / ROUNDED_MS) * ROUNDED_MS
  return new Date(now - hours * 3_600_000).toISOString()
}
