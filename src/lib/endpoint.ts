/**
 * The endpoint of a plugin's action: a path below the plugin's base URL. A plugin may not make us call anything else,
 * so only paths are taken that mean the same to everybody: no empty, `.` or `..` segments, no `@`, `\`, `#` or
 * control characters, nothing of that encoded, and no colon where a scheme could end.
 */

export const ENDPOINT_MAX_CHARS = 512

const QUERY_STARTS = '?'
/** RFC 3986's pchar without `@`, the slash between segments, and `?` for the query; percent signs are looked at apart. */
const CHARACTERS = /^[A-Za-z0-9\-._~!$&'()*+,;=:%/?]*$/
const ESCAPES = /%(?:[0-9A-Fa-f]{2})?/g
/** Escapes that are refused: of controls, `.`, `/`, `\`, `@`, `#`, `?` and `%` itself, or of nothing. */
const HIDDEN = /^%(?:[01][0-9A-F]|7F|2E|2F|5C|40|23|3F|25)?$/i

/** Returns the reason why an endpoint cannot be registered, as a sentence for its author; null when it can. */
export function endpointFault(endpoint: string): string | null {
  if (endpoint === '') return 'must not be empty: leave it out for the webhook_url'
  if (endpoint.length > ENDPOINT_MAX_CHARS) return `must be at most ${ENDPOINT_MAX_CHARS} characters`
  if (!CHARACTERS.test(endpoint)) {
    return "must be a path below base_url, such as /actions/send: letters, digits, and -._~!$&'()*+,;=:%/ after them"
  }
  if (endpoint.match(ESCAPES)?.some((escape) => HIDDEN.test(escape)) === true) {
    return 'must not have an escape (%) of a dot, slash, backslash, @, #, ?, % or control character'
  }
  const [path = ''] = endpoint.split(QUERY_STARTS, 1)
  const segments = (path.startsWith('/') ? path.slice(1) : path).split('/')
  // One slash at the end is a path of its own; elsewhere an empty segment is a host or a mistake.
  const inner = segments.at(-1) === '' ? segments.slice(0, -1) : segments
  if (inner.some((segment) => segment === '')) return 'must not have an empty segment (//)'
  if (inner.some((segment) => segment === '.' || segment === '..')) return 'must not have . or .. segments'
  if (!path.startsWith('/') && segments[0]?.includes(':') === true) {
    return 'must be a path below base_url, not a URL: begin it with a slash'
  }
  return null
}

/** The URL of an endpoint below the base URL; null when it is not certainly there. */
export function resolveEndpoint(baseUrl: string, endpoint: string): string | null {
  const base = URL.parse(baseUrl)
  if (base === null || endpointFault(endpoint) !== null) return null
  const below = base.pathname.replace(/\/+$/, '')
  const wanted = `${below}/${endpoint.replace(/^\//, '')}`
  const url = URL.parse(base.origin + wanted)
  // The parser may not have understood anything differently from the check.
  if (url === null || url.origin !== base.origin || url.pathname + url.search !== wanted) return null
  return url.href
}
