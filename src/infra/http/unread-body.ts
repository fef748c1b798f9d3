import type { IncomingMessage } from 'node:http'

/** Of a body that nobody wants, so much is read and dropped, and for so long, before the refusal is written. */
const MAX_DROPPED_BYTES = 32 * 1024 * 1024
const MAX_DROPPING_MS = 5_000

/** Tells whether a request has a body that was not read to its end. */
export function hasUnreadBody({ complete, readableEnded, headers, destroyed }: IncomingMessage): boolean {
  if (complete || readableEnded || destroyed) return false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * Reads what is left of a request's body and drops it, within bounds. A connection that is closed while the client
 * still writes is reset, and the client sees a broken pipe in place of the answer; it then sends the same again.
 *
 * @returns whether all of it came, so that the connection may be used again
 */
export function dropBody(request: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    let left = MAX_DROPPED_BYTES
    const stop = (): void => {
      clearTimeout(timer)
      request.off('data', count).off('end', stop).off('close', stop).off('error', stop)
      resolve(request.readableEnded)
    }
    const count = (chunk: Buffer): void => {
      left -= chunk.length
      if (left < 0) stop()
    }
    const timer = setTimeout(stop, MAX_DROPPING_MS)
    request.on('data', count).on('end', stop).on('close', stop).on('error', stop)
    request.resume()
  })
}
