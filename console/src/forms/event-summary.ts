import { isRawNumber } from '../../../src/lib/json/raw-number.ts'

/** Members by which people know what an event is about, the best first. One of each list is shown. */
const KNOWN_BY: readonly (readonly string[])[] = [
  ['order_number', 'order_name', 'number', 'invoice_number', 'subject', 'title', 'sku'],
  ['customer_name', 'full_name', 'name', 'first_name'],
  ['email', 'customer_email', 'phone'],
  ['total', 'total_price', 'grand_total', 'amount', 'price'],
]
const CURRENCY = ['currency', 'currency_code']
/** Of objects within one another: what lies deeper is about something else. */
const DEEPEST = 3
const MOST_CHARS = 60

/** What a past event is known by, from its own data: number, name, address, amount. Empty: nothing like that is in it. */
export function eventSummary(data: unknown, subject?: unknown): string {
  const found = KNOWN_BY.map((names) => valueOf(data, names)).map((text, index) => {
    const isAmount = index === KNOWN_BY.length - 1
    const currency = isAmount && text !== null ? valueOf(data, CURRENCY) : null
    return currency === null ? text : `${text ?? ''} ${currency}`
  })
  const own = textOf(subject)
  return [...new Set([own, ...found])].filter((text) => text !== null).join(' · ')
}

/** The one that is nearest to the top, of those the one that is named first. */
function valueOf(data: unknown, names: readonly string[]): string | null {
  let level: unknown[] = [data]
  for (let depth = 0; depth < DEEPEST && level.length > 0; depth++) {
    const objects = level.filter((each) => isMembers(each))
    for (const name of names) {
      const text = objects.map((each) => textOf(each[name])).find((each) => each !== null)
      if (text !== undefined) return text
    }
    level = objects.flatMap((each) => Object.values(each))
  }
  return null
}

function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)
}

function textOf(value: unknown): string | null {
  const text = isRawNumber(value) ? value.rawJSON : typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || text.trim() === '') return null
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text
}
