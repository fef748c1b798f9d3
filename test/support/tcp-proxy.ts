import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'

/** A way to a server on which bytes get lost without either end being told. */
export interface TcpProxy {
  readonly url: string
  /** From now on, on connections that are open: nothing of this direction arrives any more. */
  swallow(direction: Direction): void
  /** From now on, on connections that are open: of the next bytes from the client so many arrive, and nothing after them. */
  cut(bytes: number): void
  /** From now on, on all connections: the server's bytes arrive in pieces of so many, one every so many milliseconds. */
  slow(bytes: number, everyMs: number): void
  /** From now on a connection is closed as soon as it is there. */
  refuse(): void
}

type Direction = 'from client' | 'from server'

interface Line {
  swallowed: Set<Direction>
  remaining: number
}

/** @param target a postgres:// address */
export async function startTcpProxy(t: Test, target: string): Promise<TcpProxy> {
  const to = new URL(target)
  const lines = new Set<Line>()
  const sockets = new Set<Socket>()
  let pace: { bytes: number; everyMs: number } | null = null
  let isRefusing = false

  async function carryBack(chunk: Buffer, client: Socket): Promise<void> {
    if (pace === null) {
      client.write(chunk)
      return
    }
    for (let at = 0; at < chunk.length; at += pace.bytes) {
      client.write(chunk.subarray(at, at + pace.bytes))
      await delay(pace.everyMs)
    }
  }

  const server = createServer((client) => {
    if (isRefusing) {
      client.destroy()
      return
    }
    const line: Line = { swallowed: new Set(), remaining: Infinity }
    const upstream = connect(Number(to.port), to.hostname)
    lines.add(line)
    client.on('data', (chunk: Buffer) => {
      if (line.swallowed.has('from client')) return
      upstream.write(chunk.subarray(0, line.remaining))
      if ((line.remaining -= chunk.length) <= 0) line.swallowed.add('from client')
    })
    let carried = Promise.resolve()
    upstream.on('data', (chunk: Buffer) => {
      if (!line.swallowed.has('from server')) carried = carried.then(() => carryBack(chunk, client))
    })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        lines.delete(line)
        // Who is cut off does not hear of the other's end.
        if (line.swallowed.size === 0) other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    swallow: (direction) => {
      for (const line of lines) line.swallowed.add(direction)
    },
    cut: (bytes) => {
      for (const line of lines) line.remaining = bytes
    },
    slow: (bytes, everyMs) => {
      pace = { bytes, everyMs }
    },
    refuse: () => {
      isRefusing = true
    },
  }
}
