import { createServer, type IncomingMessage, request as sendRequest, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Checked, Contract, Exchange } from './contract.ts'

export interface Proxy {
  url: string
  /** The exchanges that came through, in order. */
  checked: (Checked & Pick<Exchange, 'status' | 'body'>)[]
}

/** A server of its own between a client and the service, which holds every exchange against the document. */
export async function startProxy(t: Test, target: string, contract: Contract): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const checked: Proxy['checked'] = []
  const server = createServer((request, response) => {
    pass(request, response, { hostname, port })
      .then((exchange) => {
        const { status, body } = exchange
        checked.push({ ...contract.check(exchange), status, body })
        response.end(exchange.answer)
      })
      .catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, checked }
}

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  target: { hostname: string; port: string },
): Promise<Exchange> {
  const { method = '', url = '', headers } = request
  const body = await read(request)
  const sent = { ...headers, host: `${target.hostname}:${target.port}` }
  const answered = await new Promise<IncomingMessage>((resolve, reject) => {
    sendRequest({ ...target, method, path: url, headers: sent, agent: false }, resolve)
      .on('error', reject)
      .end(body)
  })
  const answer = await read(answered)
  const status = answered.statusCode ?? 0
  response.writeHead(status, answered.rawHeaders)
  return { method, url, headers, body, status, answerHeaders: answered.headers, answer }
}

async function read(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part as Buffer)
  return Buffer.concat(parts)
}
