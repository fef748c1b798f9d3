import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { parseSecret, verifyWebhook } from '#lib/secrets/signature.ts'

/** Endpoints of many plugins, one path each, that count what they get by webhook-id. */
export interface CountingReceiver {
  readonly url: string
  /** By `${path} ${webhook-id}`. */
  readonly counts: ReadonlyMap<string, number>
  /** Requests in all. */
  readonly total: number
  /** Faults of requests that came: signature, another body under the same id. */
  readonly faults: readonly string[]
  /** The secret that requests to this path must be signed with. */
  expect(path: string, secret: string): void
  /** Sets the answer to the next requests; with 204 until it is called. */
  answer(answer: (response: ServerResponse) => void): void
}

const TOLERANCE_SECONDS = 300

export async function startCountingReceiver(t: Test): Promise<CountingReceiver> {
  const keys = new Map<string, Buffer>()
  const counts = new Map<string, number>()
  const bodies = new Map<string, string>()
  const faults: string[] = []
  let total = 0
  let answer = (response: ServerResponse): void => void response.writeHead(204).end()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => undefined)
    request.on('end', () => {
      const path = request.url ?? ''
      const body = Buffer.concat(chunks).toString()
      const id = String(request.headers['webhook-id'])
      const key = `${path} ${id}`
      const nowSeconds = Math.floor(Date.now() / 1_000)
      const secret = keys.get(path)
      const verified = verifyWebhook(request.headers, body, secret === undefined ? [] : [secret], {
        toleranceSeconds: TOLERANCE_SECONDS,
        nowSeconds,
      })
      if (verified !== 'valid') faults.push(`${key}: ${verified}`)
      if ((bodies.get(key) ?? body) !== body) faults.push(`${key}: another body`)
      bodies.set(key, body)
      counts.set(key, (counts.get(key) ?? 0) + 1)
      total++
      answer(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    faults,
    get total() {
      return total
    },
    expect: (path, secret) => void keys.set(path, parseSecret(secret)),
    answer: (next) => {
      answer = next
    },
  }
}
