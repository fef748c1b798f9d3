import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { PLACEHOLDER } from '#lib/template-text.ts'
import type { StepBase, TemplateText, TemplateTree } from '../elements.ts'
import type { Reader } from '../read/reader.ts'
import { at, readChoice, report, take } from '../read/reader.ts'
import { readTemplateText, readTree } from '../read/template.ts'
import { readConnectionName, WEBHOOK_SECRET } from '../read/connection.ts'
import { NO_REFERENCES, type DefinitionOf, USUAL } from './definition.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const MAX_HEADERS = 50
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** Headers that the client sets itself, and those that would change how the request is framed or routed. */
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
/** Scheme, host and port, up to where the path, the query or the text ends. */
const ORIGIN = /^https?:\/\/[^/?#{}\\\s]+(?=$|[/?#])/

interface HttpConfig {
  method: (typeof METHODS)[number]
  /** Scheme, host and port stand there as they are; templates may follow after them. */
  url: TemplateText
  headers: Record<string, TemplateText>
  /** Sent as JSON, text as it is; null: no body. */
  body: TemplateTree
  /** The shop's connection by whose credentials it is asked. Left out: by none. */
  connection?: string
}
export type HttpStep = StepBase<'http', HttpConfig, 'success' | 'error'>

export const httpStep: DefinitionOf<HttpStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Asks any public address.',
    properties: {
      method: { type: 'string', enum: [...METHODS], description: 'Left out: GET, or POST with a body.' },
      url: { type: 'string', description: 'Templates may stand after the host.' },
      headers: { type: 'object', description: `At most ${MAX_HEADERS} texts.` },
      body: { description: 'Sent as JSON, text as it is.' },
      connection: { type: 'string', description: 'The credentials that it is asked by, by name.' },
    },
    required: ['url'],
    examples: [
      {
        type: 'http',
        method: 'POST',
        url: 'https://scores.example.com/customers/{{trigger.id}}',
        headers: { accept: 'application/json' },
        body: { total: '{{trigger.total}}' },
      },
    ],
  },
  read: readHttp,
  output: () => ({ type: 'object', properties: { status: { type: 'integer' }, body: {} } }),
  ports: () => ['success', 'error'],
  goesOn: ['success'],
  calls: true,
  causes: 'anything',
  references: ({ connection }) => ({ ...NO_REFERENCES, connections: [connection] }),
}

function readHttp(reader: Reader): HttpConfig | null {
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
  const connection = readConnection(reader, url)
  return { method, url, headers, body: body ?? null, ...(connection !== null && { connection }) }
}

/** A connection's values go to its own hosts alone. */
function readConnection(reader: Reader, url: string): string | null {
  const { name, known } = readConnectionName(reader)
  const path = at(reader, 'connection')
  const origin = ORIGIN.exec(url)?.[0]
  if (known?.kind === WEBHOOK_SECRET) {
    report(reader, 'connection_kind', path, `The connection "${name}" verifies webhooks, and is never sent.`)
  } else if (known !== undefined && origin !== undefined && !known.allows(origin)) {
    const message = `The connection "${name}" may be used for ${known.hosts.join(', ')} only.`
    report(reader, 'connection_host', path, message)
  }
  return name
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
    // Values of templates are encoded by their place, and leave the host as it is.
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
