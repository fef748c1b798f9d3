import { createServer } from 'node:https'
import type { ServerOptions } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { type Authority, createCertificate } from './tls.ts'

export interface CertifiedRequest {
  path: string
  body: string
  headers: IncomingMessage['headers']
  /** The common name of the client certificate. */
  client: string | null
  /** SHA-256 of the client certificate. */
  fingerprint: string | null
  /** The connection that it came by, from 1 on. */
  connection: number
}

export interface MutualTlsServer {
  url: string
  requests: CertifiedRequest[]
  /** Connections that resumed a session of an earlier one. */
  resumed(): number
  /** Sets the answer to the next requests; 204 until it is called. */
  answer(answer: (request: CertifiedRequest, response: ServerResponse) => void): void
}

/** An endpoint on loopback that lets in only who has a certificate of the authority. */
export async function startMutualTlsServer(
  t: Test,
  authority: Authority,
  options: ServerOptions = {},
): Promise<MutualTlsServer> {
  const { cert, key } = createCertificate({ names: ['127.0.0.1', 'localhost'], issuer: authority })
  const requests: CertifiedRequest[] = []
  const connections = new Map<unknown, Pick<CertifiedRequest, 'client' | 'fingerprint' | 'connection'>>()
  let resumed = 0
  let answer = (_request: CertifiedRequest, response: ServerResponse): void => {
    response.writeHead(204).end()
  }
  const server = createServer({ cert, key, ca: authority.cert, requestCert: true, ...options })
  server.on('secureConnection', (socket: TLSSocket) => {
    // Without a certificate it has no members.
    const { subject, fingerprint256 } = socket.getPeerCertificate() as Partial<PeerCertificate>
    connections.set(socket, {
      client: subject?.CN?.toString() ?? null,
      fingerprint: fingerprint256 ?? null,
      connection: connections.size + 1,
    })
    if (socket.isSessionReused()) resumed += 1
  })
  server.on('request', (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const entry = {
        path: request.url ?? '',
        body: Buffer.concat(chunks).toString(),
        headers: request.headers,
        ...(connections.get(request.socket) ?? { client: null, fingerprint: null, connection: 0 }),
      }
      requests.push(entry)
      answer(entry, response)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    resumed: () => resumed,
    answer: (next) => {
      answer = next
    },
  }
}
