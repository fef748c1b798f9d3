import { createServer } from 'node:net'

/** Below the ports that systems give to outgoing connections, one of which would take it before it is used. */
const FIRST_PORT = 10_000
const PORTS_EACH = 100
const PROCESSES = 200

let next = 0

/** Returns a port of 127.0.0.1 that nobody listens on. Test processes that run at the same time look at different ones. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORTS_EACH; tried++) {
    const port = FIRST_PORT + (process.pid % PROCESSES) * PORTS_EACH + (next++ % PORTS_EACH)
    if (await isFree(port)) return port
  }
  throw new Error('no port is free')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
