import http from 'node:http'
import type { Test } from 'tap'
import type { App } from '#src/app.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'

export interface SseEvent {
  event: string
  id: string
  data: Record<string, unknown>
}

export interface SseClient {
  status: number
  headers: http.IncomingHttpHeaders
  events: SseEvent[]
  comments: number
  isClosed(): boolean
  /** Stops taking what comes. */
  pause(): void
  close(): void
}

/** Follows a stream over a real socket. */
export async function follow(
  t: Test,
  app: App,
  options: { tenantId: string; path: string; lastEventId?: string; key?: string },
): Promise<SseClient> {
  const { port } = app.server.address() as { port: number }
  const request = http.get({
    host: '127.0.0.1',
    port,
    path: options.path,
    agent: false,
    headers: {
      authorization: `Bearer ${options.key ?? TEST_PLATFORM_KEY}`,
      'x-tenant-id': options.tenantId,
      ...(options.lastEventId !== undefined && { 'last-event-id': options.lastEventId }),
    },
  })
  t.teardown(() => request.destroy())
  request.on('error', () => undefined)
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
  })
  let closed = false
  let text = ''
  const client: SseClient = {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events: [],
    comments: 0,
    isClosed: () => closed,
    pause: () => response.pause(),
    close: () => request.destroy(),
  }
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      take(client, text.slice(0, end))
      text = text.slice(end + 2)
    }
  })
  response.on('close', () => (closed = true))
  response.on('error', () => undefined)
  return client
}

function take(client: SseClient, block: string): void {
  if (block.startsWith(':')) client.comments++
  const fields = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  )
  const data = fields.get('data')
  if (data === undefined) return
  client.events.push({
    event: fields.get('event') ?? '',
    id: fields.get('id') ?? '',
    data: JSON.parse(data) as Record<string, unknown>,
  })
}

const DEADLINE_MS = 60_000

export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
