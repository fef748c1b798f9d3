import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { createAuthority, createCertificate } from './tls.ts'

/** The ways in which a receiver misbehaves, or, for comparison, behaves. */
export type HostileKind =
  /** Answers 200 with body `ok` and keeps the connection. */
  | 'ok'
  /** Answers 204 without a body and keeps the connection. */
  | 'no_content'
  /** Answers with that status, body `status N`; 429 and 503 with `Retry-After: 7`. */
  | `status_${number}`
  /** Reads the request, never answers. */
  | 'hang'
  /** Accepts and never reads. */
  | 'never_read'
  /** One byte of headers each 50 ms, for ever. */
  | 'drip_headers'
  /** Complete headers, then one byte of body each 50 ms, for ever. */
  | 'drip_body'
  /** Header after header, for ever. */
  | 'endless_headers'
  /** 100 MB of body, announced. */
  | 'huge_body'
  /** 100 MB of body in chunks, not announced. */
  | 'huge_chunked_body'
  /** 20 KB of body, announced: a little more than is kept. */
  | 'slightly_large_body'
  /** `content-encoding: gzip`, 10 MB in 10 KB. */
  | 'gzip_bomb'
  /** Resets as soon as the request's first byte is there. */
  | 'reset'
  /** Closes without a word as soon as the request's first byte is there. */
  | 'close'
  /** Half of the announced body, then a reset. */
  | 'reset_mid_body'
  /** Half of the announced body, then an orderly close. */
  | 'close_mid_body'
  /** 302 to the cloud's metadata address. */
  | 'redirect_metadata'
  /** 302 to itself on loopback, at `/redirected`. */
  | 'redirect_loopback'
  /** Bytes that are no HTTP. */
  | 'malformed'
  /** 103 Early Hints, for ever. */
  | 'early_hints_flood'
  /** 103 Early Hints once, then a close. */
  | 'early_hints_only'
  /** 101 to a request that asked for no upgrade. */
  | 'switching_protocols'
  /** Answers the first request of each connection, and closes when the second one arrives. */
  | 'stale_keep_alive'
  /** TLS that an authority in `ca` issued for 127.0.0.1 and hooks.test; answers 200. */
  | 'tls_ok'
  | 'tls_self_signed'
  /** Issued by `ca` for elsewhere.test. */
  | 'tls_wrong_host'
  /** Issued by `ca`, expired yesterday. */
  | 'tls_expired'
  /** Accepts and never shakes hands. */
  | 'tls_hang'

export interface HostileReceiver {
  /** `http://127.0.0.1:port/hook`, https for the tls kinds. */
  readonly url: string
  readonly port: number
  /** Requests (or, where it reads none, connections) that reached it. */
  readonly requests: number
  /** Connections accepted, ever. */
  readonly connections: number
  /** Connections open now. */
  readonly open: number
  /** Everything that it was sent, as text: at most the last 64 KiB. */
  readonly received: string
  /** PEM of the authority, for the tls kinds; otherwise empty. */
  readonly ca: string
  close(): Promise<void>
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok'
const HEAD = 'HTTP/1.1 200 OK\r\n'
const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'
const DRIP_MS = 50
const BLOCK = Buffer.alloc(64 * 1024, 'x')
const CHUNK = `${BLOCK.length.toString(16)}\r\n${BLOCK.toString()}\r\n`
const HUGE_BYTES = 100 * 1024 * 1024
const RECEIVED_KEPT = 64 * 1024

/** Starts a receiver on a free port of loopback that treats every request as its kind says. */
export async function startHostileReceiver(kind: HostileKind, host = '127.0.0.1'): Promise<HostileReceiver> {
  const sockets = new Set<Socket>()
  const counts = { requests: 0, connections: 0 }
  let received = ''
  const serve = (socket: Socket): void => {
    let answered = 0
    // A peer that gives up on us resets; that is the point of these tests.
    socket.on('error', () => socket.destroy())
    if (kind === 'never_read') {
      counts.requests += 1
      return
    }
    let unread = ''
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1')
      received = (received + text).slice(-RECEIVED_KEPT)
      unread += text
      if (kind === 'reset' || kind === 'close') {
        counts.requests += 1
        if (kind === 'reset') socket.resetAndDestroy()
        else socket.destroy()
        return
      }
      for (let length = requestLength(unread); length !== null; length = requestLength(unread)) {
        unread = unread.slice(length)
        counts.requests += 1
        answered += 1
        answer(kind, socket, answered)
      }
    })
  }
  const { server, ca } = createListener(kind, serve)
  server.on('connection', (socket) => {
    counts.connections += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `${kind.startsWith('tls_') ? 'https' : 'http'}://${host}:${port}/hook`,
    port,
    ca,
    get requests() {
      return counts.requests
    },
    get connections() {
      return counts.connections
    },
    get open() {
      return sockets.size
    },
    get received() {
      return received
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function createListener(kind: HostileKind, serve: (socket: Socket) => void): { server: Server; ca: string } {
  if (!kind.startsWith('tls_') || kind === 'tls_hang') return { server: createServer(serve), ca: '' }
  const authority = createAuthority('Test Authority')
  const names = kind === 'tls_wrong_host' ? ['elsewhere.test'] : ['127.0.0.1', 'hooks.test']
  const certificate = createCertificate({
    names,
    ...(kind === 'tls_self_signed' ? {} : { issuer: authority }),
    ...(kind === 'tls_expired'
      ? { notBefore: new Date(Date.now() - 172_800_000), notAfter: new Date(Date.now() - 86_400_000) }
      : {}),
  })
  const server = createTlsServer(certificate, serve)
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return { server, ca: authority.cert }
}

/** The length of the first complete request in the input, or null. */
function requestLength(text: string): number | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const length = end + 4 + Number(/^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1] ?? 0)
  return text.length < length ? null : length
}

/** The answer to the nth request of a connection. Kinds that are not here are answered with 200. */
const ANSWERS: Partial<Record<HostileKind, (socket: Socket, nth: number) => void>> = {
  hang: () => undefined,
  no_content: (socket) => send(socket, 'HTTP/1.1 204 No Content\r\n\r\n'),
  drip_headers: (socket) => repeat(socket, HEAD, 'x'),
  drip_body: (socket) => repeat(socket, `${HEAD}content-length: 1000000\r\n\r\n`, 'x'),
  endless_headers: (socket) => pour(socket, HEAD, `x-padding: ${'x'.repeat(1_000)}\r\n`),
  huge_body: (socket) => pour(socket, `${HEAD}content-length: ${HUGE_BYTES}\r\n\r\n`, BLOCK, HUGE_BYTES),
  huge_chunked_body: (socket) => pour(socket, `${HEAD}transfer-encoding: chunked\r\n\r\n`, CHUNK, HUGE_BYTES),
  slightly_large_body: (socket) => send(socket, `${HEAD}content-length: 20480\r\n\r\n${'y'.repeat(20_480)}`),
  gzip_bomb(socket) {
    const bomb = gzipSync(Buffer.alloc(10 * 1024 * 1024))
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`)
    socket.write(bomb)
  },
  reset_mid_body(socket) {
    socket.write(`${HEAD}content-length: 10\r\n\r\nhello`, () => socket.resetAndDestroy())
  },
  close_mid_body: (socket) => socket.end(`${HEAD}content-length: 10\r\n\r\nhello`),
  redirect_metadata: (socket) => answerRedirect(socket, 'http://169.254.169.254/latest/meta-data/'),
  redirect_loopback: (socket) =>
    answerRedirect(socket, `http://127.0.0.1:${socket.localPort ?? 0}/redirected`),
  malformed: (socket) => send(socket, 'SMTP/9.9 hello there\r\n\r\n'),
  early_hints_flood: (socket) => pour(socket, '', EARLY_HINTS.repeat(500)),
  early_hints_only: (socket) => socket.end(EARLY_HINTS),
  switching_protocols: (socket) =>
    send(socket, 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
  stale_keep_alive(socket, nth) {
    if (nth === 1) send(socket, OK)
    else socket.destroy()
  },
}

function answer(kind: HostileKind, socket: Socket, nth: number): void {
  const known = ANSWERS[kind]
  if (known !== undefined) known(socket, nth)
  else if (kind.startsWith('status_')) answerStatus(socket, Number(kind.slice('status_'.length)))
  else send(socket, OK)
}

function send(socket: Socket, text: string): void {
  socket.write(text, 'latin1')
}

function answerStatus(socket: Socket, status: number): void {
  const body = `status ${status}`
  const retryAfter = status === 429 || status === 503 ? 'retry-after: 7\r\n' : ''
  send(socket, `HTTP/1.1 ${status} Status\r\n${retryAfter}content-length: ${body.length}\r\n\r\n${body}`)
}

function answerRedirect(socket: Socket, location: string): void {
  send(socket, `HTTP/1.1 302 Found\r\nlocation: ${location}\r\ncontent-length: 5\r\n\r\nmoved`)
}

function repeat(socket: Socket, first: string, again: string): void {
  socket.write(first)
  const timer = setInterval(() => socket.write(again), DRIP_MS)
  socket.once('close', () => clearInterval(timer))
}

/** Writes as fast as the peer reads, `total` bytes or until it goes away. */
function pour(socket: Socket, first: string, block: Buffer | string, total = Infinity): void {
  let left = total
  const write = (): void => {
    while (left > 0 && !socket.destroyed) {
      left -= block.length
      if (!socket.write(block)) return
    }
  }
  socket.on('drain', write)
  if (first !== '') socket.write(first)
  write()
}
