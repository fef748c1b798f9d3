/**
 * Sends one and the same request over many connections, the next one as soon as the answer is there. It writes and
 * reads bytes instead of using an HTTP client, so that the client is not what is measured.
 */
import { connect, type Socket } from 'node:net'
import { serve } from '../support/ipc.ts'

export interface RequestLoad {
  /** Origin and path. */
  url: string
  headers: Record<string, string>
  body: string
  connections: number
  seconds: number
}

export interface RequestRate {
  perSecond: number
  /** Answers that were not 202, by status. */
  refused: Record<string, number>
}

const HEAD_END = '\r\n\r\n'
const STATUS_AT = 'HTTP/1.1 '.length

async function run({ url, headers, body, connections, seconds }: RequestLoad): Promise<RequestRate> {
  const { hostname, port, pathname, host } = new URL(url)
  const head = [
    `POST ${pathname} HTTP/1.1`,
    `host: ${host}`,
    `content-length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  const request = Buffer.from(head.join('\r\n') + HEAD_END + body)
  const refused: Record<string, number> = {}
  let accepted = 0
  const startedAt = performance.now()
  const endsAt = startedAt + seconds * 1_000
  await Promise.all(
    Array.from({ length: connections }, () =>
      exchange(connect({ host: hostname, port: Number(port), noDelay: true }), request, (status) => {
        if (status === '202') accepted++
        else refused[status] = (refused[status] ?? 0) + 1
        return performance.now() < endsAt
      }),
    ),
  )
  return { perSecond: accepted / ((performance.now() - startedAt) / 1_000), refused }
}

/** Repeats `request` on one connection while `onAnswer` says so. */
async function exchange(
  socket: Socket,
  request: Buffer,
  onAnswer: (status: string) => boolean,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let answer = ''
    socket.setEncoding('latin1')
    socket.on('connect', () => socket.write(request))
    socket.on('data', (chunk: string) => {
      answer += chunk
      const headEnd = answer.indexOf(HEAD_END)
      if (headEnd === -1) return
      const length = Number(/content-length: (\d+)/i.exec(answer.slice(0, headEnd))?.[1])
      if (answer.length < headEnd + HEAD_END.length + length) return
      const status = answer.slice(STATUS_AT, STATUS_AT + 3)
      answer = ''
      if (onAnswer(status)) socket.write(request)
      else socket.end()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve())
  })
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
