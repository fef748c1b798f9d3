/**
 * The plugins' side of the demo, a process of its own: checks signatures with the library that a plugin's author
 * would use, and tells the demo what came. The path names the plugin.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { type Arrival, type Endpoint, hashOf, type Listening, nowMs } from './arrival.ts'

const endpoints = new Map<string, { webhook: Webhook; failuresLeft: number }>()

process.on('message', ({ plugin, secret, failures }: Endpoint) => {
  endpoints.set(plugin, { webhook: new Webhook(secret), failuresLeft: failures })
})
// Without the demo there is nobody to tell. Ctrl-C reaches this process, too: the demo says when to end.
process.on('disconnect', () => process.exit(0))
process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => undefined)

const server = createServer((request, response) => {
  const at = nowMs()
  void read(request).then((body) => {
    const arrival = { at, ...look(request, body) }
    response.writeHead(arrival.status).end()
    tell(arrival)
  })
})
server.listen(0, '127.0.0.1', () => {
  tell({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})

function tell(message: Arrival | Listening): void {
  process.send?.(message)
}

function look({ url, headers }: IncomingMessage, body: string): Omit<Arrival, 'at'> {
  const plugin = url?.slice(1) ?? ''
  const endpoint = endpoints.get(plugin)
  const { data } = JSON.parse(body) as { data: unknown }
  const found = { plugin, eventId: String(headers['webhook-id']), dataHash: hashOf(data) }
  if (endpoint === undefined) return { ...found, verified: false, status: 404 }
  const verified = isSigned(endpoint.webhook, headers, body)
  if (endpoint.failuresLeft === 0) return { ...found, verified, status: 204 }
  endpoint.failuresLeft--
  return { ...found, verified, status: 500 }
}

function isSigned(webhook: Webhook, headers: IncomingMessage['headers'], body: string): boolean {
  try {
    webhook.verify(body, headers as Record<string, string>)
    return true
  } catch {
    return false
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
