import { createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createEgress, type Egress, type EgressResponse, parseEgressAllow } from '#infra/egress/index.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'

interface Peer {
  url: string
  egress: Egress
  requests(): number
  send(method?: string): Promise<EgressResponse>
}

/** A server that writes these pieces, each in a packet of its own, to each request. */
async function startPeer(
  t: Test,
  answer: (socket: Socket, nth: number) => void | Promise<void>,
): Promise<Peer> {
  let requests = 0
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    let unread = ''
    socket.on('data', (chunk) => {
      unread += chunk.toString('latin1')
      for (let end = unread.indexOf('\r\n\r\n'); end !== -1; end = unread.indexOf('\r\n\r\n')) {
        unread = unread.slice(end + 4)
        requests += 1
        void answer(socket, requests)
      }
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const egress = createEgress({ allow: parseEgressAllow('127.0.0.1'), dnsServers: [], httpsOnly: false })
  t.teardown(async () => {
    await egress.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const send = (method = 'GET'): Promise<EgressResponse> =>
    egress.request({ method, url, headers: {}, timeoutMs: 2_000 })
  return { url, egress, requests: () => requests, send }
}

async function inPieces(socket: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    socket.write(piece)
  }
}

t.test('a status without a body is settled by its status, whatever length it announces', async (t) => {
  const heads = ['content-length: 2', 'content-length: 2\r\nconnection: close', 'transfer-encoding: chunked']
  for (const status of [204, 205, 304]) {
    for (const head of heads) {
      for (const tail of ['', '{}']) {
        const peer = await startPeer(t, (socket) => {
          socket.write(`HTTP/1.1 ${status} Status\r\n${head}\r\n\r\n${tail}`)
        })
        const expected =
          status === 304 ? { ok: false, errorClass: 'redirect' } : { ok: true, errorClass: null }
        for (let nth = 1; nth <= 3; nth += 1) {
          t.match(await peer.send(), { status, body: '', ...expected }, `${status} ${head} ${tail} ${nth}`)
        }
        t.equal(peer.requests(), 3, 'none was sent twice')
      }
    }
  }
})

t.test('205 without a length does not wait for the close', async (t) => {
  const peer = await startPeer(t, (socket) => void socket.write('HTTP/1.1 205 Reset Content\r\n\r\n'))
  t.match(await peer.send(), { ok: true, status: 205 })
})

t.test('an unasked 100 Continue is borne as 103 is, in any order and in any pieces', async (t) => {
  const interims = [
    [CONTINUE],
    [CONTINUE, CONTINUE],
    [EARLY_HINTS, CONTINUE],
    [CONTINUE, EARLY_HINTS, CONTINUE],
  ]
  for (const interim of interims) {
    const text = interim.join('') + OK
    for (const pieces of [[text], [...interim, OK], [...text.slice(0, 40).split(''), text.slice(40)]]) {
      const peer = await startPeer(t, (socket) => inPieces(socket, pieces))
      for (let nth = 1; nth <= 2; nth += 1) {
        t.match(await peer.send(), { ok: true, status: 200, body: 'ok' }, JSON.stringify(pieces.slice(0, 4)))
      }
    }
  }
})

t.test('100 Continue and nothing else is no answer, and is not sent again', async (t) => {
  const peer = await startPeer(t, (socket, nth) => {
    if (nth === 1) socket.write(OK)
    else socket.end(CONTINUE)
  })
  t.match(await peer.send(), { ok: true })
  t.match(await peer.send(), { ok: false, errorClass: 'protocol_error' })
  t.equal(peer.requests(), 2)
  const flood = await startPeer(t, (socket) => void socket.write(CONTINUE.repeat(500)))
  t.match(await flood.send(), { ok: false, errorClass: 'protocol_error' })
})

t.test('a body that looks like an interim response is a body', async (t) => {
  const body = `${CONTINUE}x`
  const peer = await startPeer(t, (socket) =>
    inPieces(socket, [`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`, CONTINUE, 'x']),
  )
  t.match(await peer.send(), { ok: true, body })
})
