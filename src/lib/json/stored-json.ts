import { scanJson } from './scan.ts'
import { exactNumber } from './raw-number.ts'

// `source` is in Node 24 (V8), not yet in TypeScript's library: https://github.com/tc39/proposal-json-parse-with-source
type Parse = (
  text: string,
  reviver?: (name: string, value: unknown, context: { source?: string }) => unknown,
) => unknown
const parse = JSON.parse as Parse

/**
 * Reads JSON that was checked when it was stored. Numbers that a JavaScript number cannot carry are kept as they came,
 * as `parseJson` does for requests: `JSON.parse` would take 9007199254740993 for 9007199254740992. Checks nothing else.
 */
export function readStoredJson(text: string): unknown {
  const { hasLongNumber } = scanJson(text, Number.POSITIVE_INFINITY)
  // The reviver takes six times as long.
  return hasLongNumber ? parse(text, keepDigits) : parse(text)
}

function keepDigits(_name: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' && source !== undefined ? exactNumber(source) : value
}
