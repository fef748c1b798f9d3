import { Buffer } from 'node:buffer'
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  type KeyObject,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { hmacSha256, toBlock } from './hmac.ts'

/**
 * Layout of a box: version (1 byte) | key id (4) | nonce (12) | tag (16) | ciphertext. The key id is the start of
 * the key's SHA-256, so that boxes sealed under an older master key name the one that opens them.
 */
const VERSION = 1
const KEY_ID_AT = 1
const NONCE_AT = 5
const TAG_AT = 17
const CIPHERTEXT_AT = 33

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const NONCES_DRAWN = 256

/** A box that cannot be opened: changed, moved to another row, or sealed under a key that is not configured. */
export class SecretBoxError extends Error {
  override readonly name = 'SecretBoxError'
}

/**
 * Secrets at rest. `context` is `${tenant_id}:${row id}:${field}`: it is authenticated with the box, so a box that
 * was copied to another row or column does not open there.
 */
export interface SecretBox {
  seal(plaintext: string, context: string): Buffer
  open(box: Buffer, context: string): string
  /** A signature by which the text is known again as one that was written here, without anything being stored. */
  sign(text: string, context: string): string
  isSigned(text: string, context: string, signature: string): boolean
  /** Returns whether the box was sealed under an older master key. */
  needsReseal(box: Buffer): boolean
  /** The first bytes of boxes that it seals, and of those that it can open: to look for them in SQL. */
  readonly prefixes: { readonly sealed: Buffer; readonly openable: readonly Buffer[] }
}

/** `masterKey` seals; it and the `previous` ones open. Each is 32 bytes, else RangeError. */
export function createSecretBox(masterKey: Buffer, previous: readonly Buffer[] = []): SecretBox {
  // Key objects: made once, not for every box.
  const keys = new Map<number, KeyObject>()
  for (const bytes of [masterKey, ...previous]) {
    if (bytes.length !== KEY_BYTES)
      throw new RangeError(`a master key has ${KEY_BYTES} bytes, not ${bytes.length}`)
    const key = createSecretKey(bytes)
    const id = keyId(bytes)
    const known = keys.get(id)
    if (known && !known.equals(key)) throw new RangeError('two master keys share a key id: generate another')
    keys.set(id, key)
  }
  const current = createSecretKey(masterKey)
  const currentId = keyId(masterKey)
  const nextNonce = createNonces()
  const signingKeys = [masterKey, ...previous].map((bytes) =>
    Buffer.from(hkdfSync('sha256', bytes, '', 'signatures', KEY_BYTES)),
  )
  const [signingKey] = signingKeys as [Buffer]
  const mac = (key: Buffer, text: string, context: string) => hmacSha256(key, toBlock(`${context}\n${text}`))

  return {
    seal(plaintext, context) {
      const box = Buffer.alloc(CIPHERTEXT_AT + Buffer.byteLength(plaintext))
      box.writeUInt8(VERSION)
      box.writeUInt32BE(currentId, KEY_ID_AT)
      const nonce = nextNonce()
      nonce.copy(box, NONCE_AT)
      const cipher = createCipheriv(ALGORITHM, current, nonce).setAAD(additionalData(box, context))
      cipher.update(plaintext, 'utf8').copy(box, CIPHERTEXT_AT)
      cipher.final()
      cipher.getAuthTag().copy(box, TAG_AT)
      return box
    },

    open(box, context) {
      const key = keys.get(readKeyId(box))
      if (!key) throw new SecretBoxError('sealed under a master key that is not configured')
      const decipher = createDecipheriv(ALGORITHM, key, box.subarray(NONCE_AT, TAG_AT), { authTagLength: 16 })
        .setAAD(additionalData(box, context))
        .setAuthTag(box.subarray(TAG_AT, CIPHERTEXT_AT))
      const plaintext = decipher.update(box.subarray(CIPHERTEXT_AT))
      try {
        decipher.final()
      } catch (cause) {
        throw new SecretBoxError('changed since it was sealed, or sealed for another row', { cause })
      }
      return plaintext.toString()
    },

    sign: (text, context) => mac(signingKey, text, context).toString('base64url'),

    isSigned(text, context, signature) {
      const given = Buffer.from(signature, 'base64url')
      return signingKeys.some((key) => {
        const own = mac(key, text, context)
        return own.length === given.length && timingSafeEqual(own, given)
      })
    },

    needsReseal: (box) => readKeyId(box) !== currentId,

    prefixes: { sealed: prefixOf(currentId), openable: [...keys.keys()].map(prefixOf) },
  }
}

/** Random bytes cost by the call, not by the byte: many nonces are drawn at once, and each is given out once. */
function createNonces(): () => Buffer {
  let drawn = Buffer.alloc(0)
  return () => {
    if (drawn.length < NONCE_BYTES) drawn = randomBytes(NONCE_BYTES * NONCES_DRAWN)
    const nonce = drawn.subarray(0, NONCE_BYTES)
    drawn = drawn.subarray(NONCE_BYTES)
    return nonce
  }
}

function additionalData(box: Buffer, context: string): Buffer {
  return Buffer.concat([box.subarray(0, NONCE_AT), Buffer.from(context)])
}

function prefixOf(id: number): Buffer {
  const prefix = Buffer.alloc(NONCE_AT)
  prefix.writeUInt8(VERSION)
  prefix.writeUInt32BE(id, KEY_ID_AT)
  return prefix
}

function keyId(key: Buffer): number {
  return hash('sha256', key, 'buffer').readUInt32BE()
}

function readKeyId(box: Buffer): number {
  if (box.length < CIPHERTEXT_AT) throw new SecretBoxError('too short for a sealed secret')
  if (box[0] !== VERSION) throw new SecretBoxError(`sealed in unknown version ${box[0] ?? 0}`)
  return box.readUInt32BE(KEY_ID_AT)
}
