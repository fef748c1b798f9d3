import t from 'tap'
import { createAddressPolicy } from '#infra/egress/allow.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'

t.test('hosts, addresses and ranges are read, with and without a port', async (t) => {
  t.same(parseEgressAllow(' localhost:3000, Hooks.Internal. ,bücher.example,10.0.0.0/8,127.0.0.1:80 '), [
    { host: 'localhost', port: 3000 },
    { host: 'hooks.internal' },
    { host: 'xn--bcher-kva.example' },
    { cidr: '10.0.0.0/8' },
    { cidr: '127.0.0.1/32', port: 80 },
  ])
  t.same(parseEgressAllow('::1,[::1],[::1]:3000,fd00::/8,[fd00::/8]:443,192.168.0.0/16:8080'), [
    { cidr: '::1/128' },
    { cidr: '::1/128' },
    { cidr: '::1/128', port: 3000 },
    { cidr: 'fd00::/8' },
    { cidr: 'fd00::/8', port: 443 },
    { cidr: '192.168.0.0/16', port: 8080 },
  ])
  t.same(parseEgressAllow(' , '), [])
})

t.test('an entry that cannot be read is named', async (t) => {
  const bad = [
    'localhost:0',
    'localhost:65536',
    'localhost:http',
    'localhost:',
    'http://localhost',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '::1/129',
    '*.example.com',
    '127.1',
    '0x7f000001',
    'user@host',
    '[::1]3000',
    '10.0.0.0/',
  ]
  for (const entry of bad) {
    t.throws(() => parseEgressAllow(entry), new RegExp(RegExp.escape(`"${entry}"`)), entry)
  }
})

t.test('a rule opens what it names and nothing beside it', async (t) => {
  const policy = createAddressPolicy(parseEgressAllow('hooks.internal:8080,127.0.0.0/8:3000,fd00::/8'))
  t.equal(policy.allowsHost('hooks.internal', 8080), true)
  t.equal(policy.allowsHost('hooks.internal', 8081), false)
  t.equal(policy.allowsHost('x.hooks.internal', 8080), false)
  t.equal(policy.allowsAddress('127.9.9.9', 3000), true)
  t.equal(policy.allowsAddress('::ffff:127.0.0.1', 3000), true, 'the same address, written as IPv6')
  t.equal(policy.allowsAddress('127.0.0.1', 3001), false)
  t.equal(policy.allowsAddress('fd12::1', 1), true)
  t.equal(policy.allowsAddress('fe80::1', 1), false)
  t.equal(policy.allowsAddress('8.8.8.8', 1), true, 'public addresses need no rule')
  t.equal(policy.allowsAddress('example.com', 1), false)
})
