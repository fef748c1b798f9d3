import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'

/** Bytes of a block of SHA-256: a key has at most as many. */
export const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
const INNER_PAD = 0x36
const OUTER_PAD = 0x5c

/** Parts of a message behind one free block, into which `hmacSha256` writes each key's inner pad. */
export function toBlock(head: string, body: string | Buffer = ''): Buffer {
  const bodyAt = BLOCK_BYTES + Buffer.byteLength(head)
  const block = Buffer.allocUnsafe(bodyAt + Buffer.byteLength(body))
  block.write(head, BLOCK_BYTES)
  if (typeof body === 'string') block.write(body, bodyAt)
  else body.copy(block, bodyAt)
  return block
}

/**
 * HMAC with SHA-256 (RFC 2104) of a message that `toBlock` has laid out, as two one-shot hashes, because `crypto.createHmac`
 * makes a stream object per call. Measured per signature on Node 24.21, one core: createHmac 11.2 µs for a body of 300 bytes and
 * 22 µs for 20 kB, this 2.6 µs and 17.6 µs.
 *
 * @param key at most 64 bytes, else RangeError
 */
export function hmacSha256(key: Buffer, block: Buffer): Buffer {
  if (key.length > BLOCK_BYTES) throw new RangeError(`a signing key has at most ${BLOCK_BYTES} bytes`)
  writePad(block, key, INNER_PAD)
  const outer = Buffer.allocUnsafe(BLOCK_BYTES + DIGEST_BYTES)
  writePad(outer, key, OUTER_PAD)
  hash('sha256', block, 'buffer').copy(outer, BLOCK_BYTES)
  return hash('sha256', outer, 'buffer')
}

function writePad(target: Buffer, key: Buffer, pad: number): void {
  for (let index = 0; index < BLOCK_BYTES; index++) target[index] = (key[index] ?? 0) ^ pad
}
