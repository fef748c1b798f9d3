import { createSocket } from 'node:dgram'
import type { AddressInfo } from 'node:net'

/** The addresses of a name: dotted decimal and RFC 4291 mixed. 'silent' never answers. */
export type DnsAnswer = readonly string[] | 'nxdomain' | 'silent'

export interface DnsServer {
  /** `ip:port`, as `dnsServers` and `EGRESS_DNS` take it. */
  address: string
  /** Names asked for, one entry a query, type appended: `example.com A`. */
  queries: string[]
  close(): Promise<void>
}

const TYPE_A = 1
const TYPE_AAAA = 28

/** A name server on loopback (RFC 1035) that answers what `answer` says at that moment. */
export async function startDnsServer(answer: (name: string) => DnsAnswer): Promise<DnsServer> {
  const socket = createSocket('udp4')
  const queries: string[] = []
  socket.on('message', (query, from) => {
    const { name, type, end } = readQuestion(query)
    queries.push(`${name} ${type === TYPE_A ? 'A' : type === TYPE_AAAA ? 'AAAA' : type}`)
    const result = answer(name)
    if (result === 'silent') return
    const question = query.subarray(12, end)
    const records = result === 'nxdomain' ? [] : result.flatMap((address) => recordOf(address, type))
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(result === 'nxdomain' ? 0x8183 : 0x8180, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address)
  })
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve)
  })
  const { port }: AddressInfo = socket.address()
  return {
    address: `127.0.0.1:${port}`,
    queries,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let offset = 12
  for (let length = query[offset] ?? 0; length > 0; length = query[offset] ?? 0) {
    labels.push(query.toString('ascii', offset + 1, offset + 1 + length))
    offset += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(offset + 1), end: offset + 5 }
}

function recordOf(address: string, type: number): Buffer[] {
  const isV6 = address.includes(':')
  if (isV6 !== (type === TYPE_AAAA)) return []
  const data = isV6 ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number))
  const head = Buffer.alloc(12)
  // A pointer to the question's name; class IN; time to live 0.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(data.length, 10)
  return [Buffer.concat([head, data])]
}

function ipv6Bytes(address: string): Buffer {
  const [left = '', right = ''] = address.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => parseInt(group, 16))
  const before = groups(left)
  const after = groups(right)
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}
