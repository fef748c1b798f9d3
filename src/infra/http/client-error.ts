import type { Socket } from 'node:net'
import type { Problem } from '#lib/api/problem.ts'
import { headersTooLarge, invalidRequest, requestTimeout } from './problems.ts'

/** Answers what Node's parser gives up on, before there is a request; the connection ends with it. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = problemOf(error.code)
  const body = JSON.stringify(problem.toJSON(crypto.randomUUID()))
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\n` +
      'content-type: application/problem+json\r\n' +
      `content-length: ${Buffer.byteLength(body)}\r\n` +
      'connection: close\r\n\r\n' +
      body,
    // A peer that never reads must not keep the socket.
    () => socket.destroy(),
  )
}

function problemOf(code: string | undefined): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return requestTimeout()
    case 'HPE_HEADER_OVERFLOW':
      return headersTooLarge()
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return invalidRequest('The chunk extensions of the body are too large.')
    default:
      return invalidRequest('This is not well-formed HTTP.')
  }
}
