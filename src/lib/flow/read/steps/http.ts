import type { Reader } from '../reader.ts'
import { at, readChoice, report, take } from '../reader.ts'
import { readTemplateText, readTree } from '../template.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { HttpConfig } from '#lib/flow/types.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const MAX_HEADERS = 50
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** What the client sets itself, and what would change how the request is framed or routed. */
const RESERVED_HEADERS = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
]
const PLACEHOLDER = /\{\{.*?\}\}/gs
/** Scheme, host and port, up to where the path, the query or the text ends. */
const ORIGIN = /^https?:\/\/[^/?#{}\\\s]+(?=$|[/?#])/

export function readHttp(reader: Reader): HttpConfig | null {
  const body = take(reader, 'body')
  if (body !== undefined) readTree(reader, body, at(reader, 'body'))
  const method = readChoice(reader, 'method', METHODS, body === undefined ? 'GET' : 'POST')
  if (body !== undefined && method === 'GET') {
    report(reader, 'invalid_value', at(reader, 'body'), 'Remove "body" or use POST: a GET has none.')
  }
  const headers = readHeaders(reader)
  const url = readTemplateText(reader, 'url')
  if (url === null) {
    if (take(reader, 'url') === undefined) {
      report(
        reader,
        'missing_property',
        at(reader, 'url'),
        'Add "url", such as "https://example.com/orders".',
      )
    }
    return null
  }
  checkUrl(reader, url)
  return { method, url, headers, body: body ?? null }
}

function checkUrl(reader: Reader, url: string): void {
  const origin = ORIGIN.exec(url)?.[0]
  const parsed = origin === undefined ? null : URL.parse(origin)
  if (!parsed) {
    const message = 'Write http(s), host and port out, then a path: templates may stand after the host only.'
    report(reader, 'invalid_url', at(reader, 'url'), message)
  } else if (parsed.username !== '' || parsed.password !== '') {
    report(reader, 'invalid_url', at(reader, 'url'), 'Send credentials in a header, not in the URL.')
  } else {
    // What stands in templates is encoded by its place, and leaves the host as it is.
    const fault = reader.compilation.catalogue.urlFault?.(url.replaceAll(PLACEHOLDER, 'x'))
    if (fault != null) report(reader, 'invalid_url', at(reader, 'url'), `${fault}.`)
  }
}

function readHeaders(reader: Reader): Record<string, string> {
  const sent = take(reader, 'headers')
  const path = at(reader, 'headers')
  if (sent === undefined) return {}
  if (!isPlainObject(sent) || Object.keys(sent).length > MAX_HEADERS) {
    report(reader, 'malformed', path, `Give "headers" an object of at most ${MAX_HEADERS} texts.`)
    return {}
  }
  const entries = Object.entries(sent).flatMap(([name, value]) => {
    if (!HEADER_NAME.test(name) || RESERVED_HEADERS.includes(name.toLowerCase())) {
      report(
        reader,
        'invalid_header',
        [...path, name],
        `"${name.slice(0, 64)}" is not a header that may be set.`,
      )
      return []
    }
    if (typeof value !== 'string' || /[\r\n\0]/.test(value)) {
      report(reader, 'invalid_header', [...path, name], 'Give a header one line of text.')
      return []
    }
    readTree(reader, value, [...path, name])
    return [[name, value] as const]
  })
  return Object.fromEntries(entries)
}
