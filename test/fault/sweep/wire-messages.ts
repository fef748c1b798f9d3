/** One message of the Postgres protocol (3.0), as it stood on the wire. */
export interface WireMessage {
  /** The type's letter; empty for the client's first message, which has none. */
  type: string
  bytes: Buffer
}

const LENGTH_BYTES = 4

/** Cuts the bytes of one direction of a connection into messages. Connections with TLS are not read. */
export class MessageCutter {
  #rest = Buffer.alloc(0)
  #hasType: boolean

  constructor(from: 'client' | 'server') {
    this.#hasType = from === 'server'
  }

  cut(chunk: Buffer): WireMessage[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const messages: WireMessage[] = []
    for (;;) {
      const typeBytes = this.#hasType ? 1 : 0
      if (this.#rest.length < typeBytes + LENGTH_BYTES) return messages
      const end = typeBytes + this.#rest.readInt32BE(typeBytes)
      if (this.#rest.length < end) return messages
      const type = this.#hasType ? String.fromCharCode(this.#rest[0] ?? 0) : ''
      messages.push({ type, bytes: this.#rest.subarray(0, end) })
      this.#rest = this.#rest.subarray(end)
      this.#hasType = true
    }
  }
}

const HEADER_BYTES = 1 + LENGTH_BYTES

/** Puts the client's messages together to statements, each by its text. */
export class StatementReader {
  readonly #prepared = new Map<string, string>()
  #text: string | null = null

  /** @returns the statement that this message ends, and the server is going to answer; null: none */
  read({ type, bytes }: WireMessage): string | null {
    const body = bytes.subarray(HEADER_BYTES)
    if (type === 'P') {
      const [name = '', text = ''] = texts(body, 2)
      this.#prepared.set(name, text)
      return null
    }
    if (type === 'B') {
      const [, name = ''] = texts(body, 2)
      this.#text = this.#prepared.get(name) ?? `unknown statement ${name}`
      return null
    }
    if (type === 'Q') return texts(body, 1)[0] ?? ''
    if (type !== 'S') return null
    const text = this.#text
    this.#text = null
    return text
  }
}

/** The number of the server's process, which BackendKeyData tells. */
export function backendOf({ type, bytes }: WireMessage): number | null {
  return type === 'K' ? bytes.readInt32BE(HEADER_BYTES) : null
}

/** Texts that end in a zero byte each. */
function texts(body: Buffer, count: number): string[] {
  const found: string[] = []
  for (let at = 0; found.length < count;) {
    const end = body.indexOf(0, at)
    if (end === -1) break
    found.push(body.toString('utf8', at, end))
    at = end + 1
  }
  return found
}
