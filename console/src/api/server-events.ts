export interface ServerEvent {
  event: string
  id: string
  data: string
}

/**
 * Reads server-sent events from an answer's body. EventSource cannot send headers, and a session that chose a shop
 * names it in one. `onChunk` is told of all that comes, so also of the comments that say that the connection lives.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onChunk: () => void = () => undefined,
): AsyncGenerator<ServerEvent> {
  let rest = ''
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      onChunk()
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = readBlock(block)
        if (event !== null) yield event
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

/** Null: a comment, or how long to wait before coming back. */
function readBlock(block: string): ServerEvent | null {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const name = line.slice(0, colon)
    const value = line.slice(colon + 1).replace(/^ /, '')
    fields.set(name, fields.has(name) ? `${fields.get(name) ?? ''}\n${value}` : value)
  }
  const data = fields.get('data')
  return data === undefined
    ? null
    : { event: fields.get('event') ?? 'message', id: fields.get('id') ?? '', data }
}
