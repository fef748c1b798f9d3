import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Received {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: string
  at: number
}

export type Answer = (received: Received, response: ServerResponse) => void

export interface Receiver {
  url: string
  received: Received[]
  /** Sets the answer to the next requests; 204 until it is called. */
  answer(answer: Answer | number): void
  /** Resolves once `count` requests have come; rejects after `timeoutMs`. */
  waitFor(count: number, timeoutMs?: number): Promise<Received[]>
  close(): Promise<void>
}

/** A plugin's endpoint: a real server on loopback that keeps what it gets. */
export async function startReceiver(t: Test): Promise<Receiver> {
  const received: Received[] = []
  let answer: Answer = (_received, response) => response.writeHead(204).end()
  const waiters = new Set<() => void>()
  const server = createServer((request, response) => {
    void read(request).then((body) => {
      const entry = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body,
        at: Date.now(),
      }
      received.push(entry)
      answer(entry, response)
      for (const wake of waiters) wake()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  t.teardown(close)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    answer: (next) => {
      answer = typeof next === 'number' ? (_received, response) => response.writeHead(next).end() : next
    },
    waitFor: (count, timeoutMs = 60_000) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (received.length < count) return
          clearTimeout(timer)
          waiters.delete(check)
          resolve(received)
        }
        const timer = setTimeout(() => {
          waiters.delete(check)
          reject(new Error(`${received.length} of ${count} requests came within ${timeoutMs} ms`))
        }, timeoutMs)
        waiters.add(check)
        check()
      }),
    close,
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
