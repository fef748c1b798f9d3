const MAX_CHARS = 128
const PLAIN_TYPE = /^[a-z0-9_]+(?:\.[a-z0-9_]+)*$/
const EVENT_TYPE = /^[A-Za-z0-9_/-]+(?:\.[A-Za-z0-9_/-]+)*$/
const ANY_BELOW = '.*'

/** Lower-case segments separated by dots: `product.created`, `booking.slot.freed`. At most 128 characters. */
export function isPlainEventType(text: string): boolean {
  return text.length <= MAX_CHARS && PLAIN_TYPE.test(text)
}

/** The same, or a CloudEvents type such as `com.github.pull-request.Opened`: with capitals, hyphens and slashes, too. */
export function isEventType(text: string): boolean {
  return text.length <= MAX_CHARS && EVENT_TYPE.test(text)
}

/** Accepts what a subscription may name: an event type, `product.*` for everything below `product`, or `*`. */
export function isEventPattern(text: string): boolean {
  if (text === '*') return true
  return text.length <= MAX_CHARS && isEventType(text.endsWith(ANY_BELOW) ? text.slice(0, -2) : text)
}

/** `product.*` matches `product.created` and `product.variant.created`, but neither `product` nor `products.x`. */
export function matchesPattern(pattern: string, type: string): boolean {
  if (pattern === '*') return true
  return pattern.endsWith(ANY_BELOW) ? type.startsWith(pattern.slice(0, -1)) : type === pattern
}
