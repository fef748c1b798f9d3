import t from 'tap'
import { describeBlocked, isPublicAddress, parseAddress } from '#lib/address.ts'

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '168.63.129.15',
  '168.63.129.17',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2000::1',
  '2001:200::1',
  '2606:4700:4700::1111',
  '2a00:1450:4001:80b::200e',
  '3ffe::1',
  '::ffff:8.8.8.8',
]

const BLOCKED: Record<string, string> = {
  '0.0.0.0': 'this network',
  '10.1.2.3': 'private network',
  '100.64.0.0': 'carrier-grade NAT',
  '100.100.100.200': 'carrier-grade NAT',
  '127.0.0.1': 'loopback',
  '127.255.255.255': 'loopback',
  '168.63.129.16': 'cloud metadata',
  '169.254.169.254': 'link-local',
  '172.16.0.0': 'private network',
  '172.31.255.255': 'private network',
  '192.0.0.192': 'IETF protocol assignments',
  '192.0.2.1': 'documentation',
  '192.88.99.1': '6to4 relay',
  '192.168.1.1': 'private network',
  '198.18.0.1': 'benchmarking',
  '198.19.255.255': 'benchmarking',
  '198.51.100.7': 'documentation',
  '203.0.113.7': 'documentation',
  '224.0.0.1': 'multicast',
  '240.0.0.1': 'reserved',
  '255.255.255.255': 'reserved',
  '::': 'unspecified',
  '::1': 'loopback',
  '::7f00:1': 'outside of global unicast',
  '::ffff:127.0.0.1': 'loopback',
  '::ffff:a9fe:a9fe': 'link-local',
  '64:ff9b::7f00:1': 'NAT64',
  '64:ff9b:1::1': 'NAT64',
  '100::1': 'discard',
  '1fff::1': 'outside of global unicast',
  '2001::1': 'IETF protocol assignments',
  '2001:1ff::1': 'IETF protocol assignments',
  '2001:db8::1': 'documentation',
  '2002:7f00:1::': '6to4',
  '3fff::1': 'documentation',
  '4000::1': 'outside of global unicast',
  '5f00::1': 'outside of global unicast',
  'fc00::1': 'private network',
  'fd00:ec2::254': 'private network',
  'fe80::1': 'link-local',
  'fec0::1': 'outside of global unicast',
  'ff02::1': 'multicast',
}

t.test('an address outside of every special range is public', async (t) => {
  for (const address of PUBLIC) t.equal(describeBlocked(address), null, address)
})

t.test('an address inside of a special range is not public, and the range has a name', async (t) => {
  for (const [address, range] of Object.entries(BLOCKED)) {
    t.equal(describeBlocked(address), range, address)
    t.equal(isPublicAddress(address), false, address)
  }
})

t.test('what is no address in the usual notation is not public', async (t) => {
  for (const text of [
    '',
    'example.com',
    '8.8.8',
    '08.8.8.8',
    '0x8.8.8.8',
    '134744072',
    '8.8.8.8 ',
    '[2000::1]',
  ]) {
    t.equal(describeBlocked(text), 'not an IP address', text)
    t.equal(parseAddress(text), null, text)
  }
  t.equal(isPublicAddress('2000::1%eth0'), false, 'a zone is for this machine alone')
})

t.test('an IPv4-mapped address is the IPv4 address that it reaches', async (t) => {
  t.equal(parseAddress('::ffff:8.8.8.8')?.toString(), '8.8.8.8')
})
