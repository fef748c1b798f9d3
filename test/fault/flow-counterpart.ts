import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'

/** Everything that came under one Idempotency-Key, or webhook-id. */
export interface Calls {
  path: string
  body: string
  /** Epoch milliseconds, in order. */
  at: number[]
  /** The number of the last answer. */
  answer: number
  /** Those that were answered with 503: the flow calls again of its own accord. */
  refused: number
}

/**
 * The counterpart that the flow calls, by HTTP and as a plugin. Answers come numbered and after up to `ANSWER_MS`, so
 * that kills fall into calls.
 *
 * | path        | answer |
 * | ----------- | ------ |
 * | `/unsure`   | 503 under each new key, 200 afterwards |
 * | `/deliver`  | 202, and what was accepted is completed once for each key, one in four before the 202 |
 * | all else    | 200 |
 */
export interface Counterpart {
  url: string
  /** By Idempotency-Key, or webhook-id. */
  calls: ReadonlyMap<string, Calls>
  /** Requests that are not as they should be. */
  faults: readonly string[]
  total(): number
  /** Resolves when all that was accepted has been completed. */
  completed(): Promise<unknown>
}

const ANSWER_MS = 40
const COMPLETE_MS = 500
const AGAIN_MS = 100

/** @param service where completions go: whichever process runs at the time */
export async function startCounterpart(t: Test, service: () => string | null): Promise<Counterpart> {
  const calls = new Map<string, Calls>()
  const faults: string[] = []
  const completions: Promise<void>[] = []
  let total = 0

  async function complete(key: string, headers: IncomingHttpHeaders, body: string): Promise<void> {
    const { invocation_id: id } = JSON.parse(body) as { invocation_id: string }
    for (;;) {
      const url = service()
      const response =
        url === null
          ? null
          : await fetch(`${url}/api/actions/${id}/complete`, {
              method: 'POST',
              headers: {
                'content-type': 'application/json',
                'x-completion-token': String(headers['x-completion-token']),
              },
              body: JSON.stringify({ success: true, data: { zulu: key, a: 1 } }),
              signal: AbortSignal.timeout(60_000),
            }).catch(() => null)
      const text = await response?.text().catch(() => null)
      // Also if it had been taken, and the answer was lost with its process.
      if (response?.status === 200) return
      if (response !== null && response.status < 500) {
        faults.push(`${key}: completion ${response.status} ${text}`)
        return
      }
      await wait(AGAIN_MS)
    }
  }

  async function answer(path: string, headers: IncomingHttpHeaders, body: string, response: ServerResponse) {
    const key = String(headers['idempotency-key'] ?? headers['webhook-id'])
    const isNew = !calls.has(key)
    const entry = calls.get(key) ?? { path, body, at: [], answer: 0, refused: 0 }
    calls.set(key, entry)
    if (entry.body !== body) faults.push(`${key}: ${entry.body} then ${body}`)
    entry.at.push(Date.now())
    const number = (entry.answer = ++total)
    if (path === '/deliver' && isNew) {
      const completion =
        number % 4 === 0
          ? complete(key, headers, body)
          : wait(Math.random() * COMPLETE_MS).then(() => complete(key, headers, body))
      completions.push(completion)
      if (number % 4 === 0) await Promise.race([completion, wait(ANSWER_MS * 10)])
    }
    await wait(Math.random() * ANSWER_MS)
    if (path === '/unsure' && isNew) entry.refused++
    const status = path === '/deliver' ? 202 : path === '/unsure' && isNew ? 503 : 200
    response
      .writeHead(status, { 'content-type': 'application/json' })
      // Written again with its members in another order, it would be another text.
      .end(JSON.stringify({ zulu: { longer: 1, b: 2 }, answer: number }))
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      void answer(request.url ?? '', request.headers, Buffer.concat(chunks).toString(), response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    faults,
    total: () => total,
    completed: () => Promise.all(completions),
  }
}
