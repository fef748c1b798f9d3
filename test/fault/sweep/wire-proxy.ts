import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'
import { type Fault, type FaultKind, shapeOf } from './faults.ts'
import { backendOf, MessageCutter, StatementReader, type WireMessage } from './wire-messages.ts'

/** The service's way to its database, on which one statement at a time meets a fault. */
export interface WireProxy {
  readonly url: string
  /** Statements that have come, by shape, in the order of their first time. */
  readonly statements: ReadonlyMap<string, number>
  /** The next statement of the fault's shape meets it. @returns a promise of that moment */
  arm(fault: Fault): Promise<void>
  /** No statement meets a fault any more. */
  disarm(): void
}

/** @param kill ends the service's process @param target a postgres:// address */
export async function startWireProxy(t: Test, target: string, kill: () => void): Promise<WireProxy> {
  const to = new URL(target)
  const statements = new Map<string, number>()
  const sockets = new Set<Socket>()
  let armed: { fault: Fault; met: () => void } | null = null

  /** The armed fault, if it is this statement's. */
  function take(text: string): Fault | null {
    const shape = shapeOf(text)
    statements.set(shape, (statements.get(shape) ?? 0) + 1)
    if (armed?.fault.statement !== shape) return null
    const { fault, met } = armed
    armed = null
    met()
    return fault
  }

  const server = createServer((client) => {
    const upstream = connect(Number(to.port), to.hostname)
    const fromClient = new MessageCutter('client')
    const fromServer = new MessageCutter('server')
    const reader = new StatementReader()
    let backend = 0
    let struck: FaultKind | null = null
    /** Messages of the statement that is not complete yet. */
    let held: Buffer[] = []
    /** Waits for the answer's end. */
    let after: Fault | null = null

    function strike({ kind }: Fault): void {
      struck = kind
      if (kind === 'kill') kill()
      if (kind === 'crash') process.kill(backend, 'SIGKILL')
      if (kind !== 'drop') return
      client.destroy()
      upstream.destroy()
    }

    function onClientMessage(message: WireMessage): void {
      held.push(message.bytes)
      const text = reader.read(message)
      // Parts of a statement wait for its end.
      if (text === null && 'PBDE'.includes(message.type) && message.type !== '') return
      const fault = text === null ? null : take(text)
      if (fault?.point === 'before') {
        strike(fault)
        return
      }
      after = fault
      upstream.write(Buffer.concat(held))
      held = []
    }

    function onServerMessage(message: WireMessage): void {
      backend = backendOf(message) ?? backend
      if (after === null) client.write(message.bytes)
      else if (message.type === 'Z') strike(after)
    }

    client.on('data', (chunk: Buffer) => {
      for (const message of fromClient.cut(chunk)) if (struck === null) onClientMessage(message)
    })
    upstream.on('data', (chunk: Buffer) => {
      for (const message of fromServer.cut(chunk)) if (struck === null) onServerMessage(message)
    })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        if (struck !== 'silence') other.destroy()
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
    statements,
    arm: (fault) =>
      new Promise<void>((met) => {
        armed = { fault, met }
      }),
    disarm: () => {
      armed = null
    },
  }
}
