import t from 'tap'
import { createEgress, type EgressOptions, parseEgressAllow } from '#infra/egress/index.ts'
import { type DnsAnswer, startDnsServer } from '#test/support/dns-server.ts'
import { startHostileReceiver } from '#test/support/hostile-receiver.ts'

const PUBLIC_V4 = '93.184.215.14'
const PUBLIC_V6 = '2606:2800:21f:cb07::1'

const LOCKED: EgressOptions = { allow: [], dnsServers: [], httpsOnly: false, dnsCacheMs: 0 }
const GET = { method: 'GET', headers: {}, timeoutMs: 3_000 } as const

/** A resolver that hears nothing costs 4.5 s by itself. */
const RESOLVER_MS = 4_000

const FORBIDDEN_LITERALS = [
  '127.0.0.1',
  '127.0.0.1.',
  '127.1',
  '0x7f.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
  '0177.0.0.01',
  '127。0。0。1',
  '①②⑦.⓪.⓪.①',
  '%31%32%37.0.0.1',
  '0',
  '0.0.0.0',
  '10.0.0.1',
  '100.100.100.200',
  '168.63.129.16',
  '169.254.169.254',
  '0xa9fea9fe',
  '172.16.0.1',
  '192.168.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[64:ff9b::169.254.169.254]',
  '[2002:7f00:1::]',
  '[2001:db8::1]',
  '[fd00:ec2::254]',
  '[fe80::1]',
]

t.test('an address that is not public is refused in whatever form it is written', async (t) => {
  const egress = createEgress(LOCKED)
  for (const host of FORBIDDEN_LITERALS) {
    const url = `http://${host}:8080/hook`
    t.match(await egress.check(url), { code: 'address_blocked' }, url)
    t.match(
      await egress.request({ ...GET, url }),
      { errorClass: 'blocked', bytesSent: false, status: null },
      url,
    )
  }
  await egress.close()
})

t.test('the refusal names the exception that would allow it, and with that it is allowed', async (t) => {
  const dns = await startDnsServer((name) => (name === 'shop.test' ? ['10.0.0.1'] : 'nxdomain'))
  const locked = createEgress({ ...LOCKED, dnsServers: [dns.address] })
  const cases: Record<string, string> = {
    'http://127.0.0.1:4100/hook': '127.0.0.1:4100',
    'https://[::1]/': '[::1]:443',
    'http://Shop.test:8080/hook': 'shop.test:8080',
  }
  for (const [url, exception] of Object.entries(cases)) {
    const detail = (await locked.check(url))?.detail ?? ''
    t.equal(/EGRESS_ALLOW=(\S+)$/.exec(detail)?.[1], exception, detail)
    t.equal((await locked.request({ ...GET, url })).errorDetail, detail, 'also when it is called')
    const open = createEgress({ ...LOCKED, dnsServers: [dns.address], allow: parseEgressAllow(exception) })
    t.equal(await open.check(url), null, url)
    await open.close()
  }
  await locked.close()
  await dns.close()
})

t.test('a URL that cannot be called is refused with its reason', async (t) => {
  const egress = createEgress(LOCKED)
  const cases: Record<string, string> = {
    '': 'invalid_url',
    'hooks.example.com/x': 'invalid_url',
    'http://': 'invalid_url',
    'http://./': 'invalid_url',
    'http://[::1': 'invalid_url',
    'http://[fe80::1%25eth0]/': 'invalid_url',
    'http://1.2.3.4.5/': 'invalid_url',
    'http://example.com:65536/': 'invalid_url',
    'ftp://example.com/': 'scheme_not_allowed',
    'file:///etc/passwd': 'scheme_not_allowed',
    'javascript:alert(1)': 'scheme_not_allowed',
    'https://user@example.com/': 'credentials_in_url',
    'https://:secret@example.com/': 'credentials_in_url',
  }
  for (const [url, code] of Object.entries(cases)) {
    t.equal((await egress.check(url))?.code, code, url)
    t.match(await egress.request({ ...GET, url }), { errorClass: 'blocked', bytesSent: false }, url)
  }
  await egress.close()
})

t.test('with https only, http is refused when saved and when used, allowed addresses included', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress({ ...LOCKED, httpsOnly: true, allow: parseEgressAllow('127.0.0.0/8') })
  t.match(await egress.check(receiver.url), { code: 'https_required' })
  t.match(await egress.request({ ...GET, url: receiver.url }), { errorClass: 'blocked', bytesSent: false })
  t.equal(await egress.check('https://127.0.0.1/'), null)
  t.equal(receiver.connections, 0)
  await egress.close()
  await receiver.close()
})

t.test('a name is refused if any of its addresses is not public', async (t) => {
  const zone: Record<string, DnsAnswer> = {
    'public.test': [PUBLIC_V4, PUBLIC_V6],
    'private.test': ['127.0.0.1'],
    'mixed-v4.test': [PUBLIC_V4, '127.0.0.1'],
    'private-v6.test': [PUBLIC_V4, '::1'],
    'mapped.test': ['::ffff:7f00:1'],
    'metadata.test': ['169.254.169.254'],
    'xn--bcher-kva.test': ['10.0.0.1'],
  }
  const dns = await startDnsServer((name) => zone[name] ?? 'nxdomain')
  const egress = createEgress({ ...LOCKED, dnsServers: [dns.address] })
  t.equal(await egress.check('http://public.test/'), null)
  const refused = Object.keys(zone).filter((name) => name !== 'public.test')
  for (const name of [...refused, 'Private.TEST.', 'bücher.test', 'localhost', 'a.localhost']) {
    t.match(await egress.check(`http://${name}/`), { code: 'address_blocked' }, name)
    const response = await egress.request({ ...GET, url: `http://${name}/` })
    t.match(response, { errorClass: 'blocked', bytesSent: false }, name)
    t.notMatch(response.errorDetail, /127\.|10\.0|169\.|loopback/, 'the answer does not leak the address')
  }
  t.same(
    new Set(dns.queries.filter((query) => query.startsWith('public'))),
    new Set(['public.test A', 'public.test AAAA']),
  )
  await egress.close()
  await dns.close()
})

t.test('a name that turned private after it was saved is refused when it is used', async (t) => {
  const receiver = await startHostileReceiver('ok')
  let answer: DnsAnswer = [PUBLIC_V4]
  const dns = await startDnsServer(() => answer)
  const egress = createEgress({ ...LOCKED, dnsServers: [dns.address] })
  const url = `http://rebind.test:${receiver.port}/hook`
  t.equal(await egress.check(url), null)
  answer = ['127.0.0.1']
  t.match(await egress.request({ ...GET, url }), { errorClass: 'blocked', bytesSent: false })
  t.equal(receiver.connections, 0)
  await egress.close()
  await Promise.all([dns.close(), receiver.close()])
})

t.test('the connection goes to the address that was checked, not to a later answer', async (t) => {
  const allowed = await startHostileReceiver('ok', '127.0.0.2')
  let asked = 0
  const dns = await startDnsServer(() => {
    asked += 1
    // A and AAAA are one look at the name; another look to connect would be sent elsewhere.
    return asked <= 2 ? ['127.0.0.2'] : ['127.0.0.1']
  })
  const allow = parseEgressAllow('127.0.0.2')
  const egress = createEgress({ ...LOCKED, allow, dnsServers: [dns.address] })
  const url = `http://rebind.test:${allowed.port}/hook`
  t.match(await egress.request({ ...GET, url }), { ok: true })
  t.match(await egress.request({ ...GET, url }), { ok: true }, 'a kept connection stays where it is')
  t.equal(allowed.connections, 1)
  t.equal(asked, 2)
  await egress.close()
  await Promise.all([dns.close(), allowed.close()])
})

t.test('the next address is tried when the first refuses', async (t) => {
  const receiver = await startHostileReceiver('ok', '127.0.0.3')
  const dns = await startDnsServer(() => ['127.0.0.2', '127.0.0.3'])
  const egress = createEgress({
    ...LOCKED,
    allow: parseEgressAllow('127.0.0.0/8'),
    dnsServers: [dns.address],
  })
  t.match(await egress.request({ ...GET, url: `http://two.test:${receiver.port}/` }), { ok: true })
  await egress.close()
  await Promise.all([dns.close(), receiver.close()])
})

t.test('an allow rule opens its host, range and port only', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const other = await startHostileReceiver('ok')
  const dns = await startDnsServer(() => ['127.0.0.1'])
  const open = (allow: string) =>
    createEgress({ ...LOCKED, allow: parseEgressAllow(allow), dnsServers: [dns.address] })

  const byHost = open(`hooks.internal:${receiver.port}`)
  t.match(await byHost.request({ ...GET, url: `http://HOOKS.internal.:${receiver.port}/` }), { ok: true })
  t.match(await byHost.request({ ...GET, url: `http://hooks.internal:${other.port}/` }), {
    errorClass: 'blocked',
  })
  t.match(await byHost.request({ ...GET, url: `http://else.internal:${receiver.port}/` }), {
    errorClass: 'blocked',
  })
  t.match(
    await byHost.request({ ...GET, url: receiver.url }),
    { errorClass: 'blocked' },
    'the bare address is another target',
  )

  const byRange = open(`127.0.0.0/8:${receiver.port}`)
  t.match(await byRange.request({ ...GET, url: receiver.url }), { ok: true })
  t.match(await byRange.request({ ...GET, url: `http://any.test:${receiver.port}/` }), { ok: true })
  t.match(await byRange.request({ ...GET, url: other.url }), { errorClass: 'blocked' })

  t.equal(other.connections, 0)
  await Promise.all([byHost.close(), byRange.close()])
  await Promise.all([dns.close(), receiver.close(), other.close()])
})

t.test('a name that does not resolve may be saved; using it is a dns_error', async (t) => {
  const dns = await startDnsServer((name) =>
    name === 'silent.test' ? 'silent' : name === 'empty.test' ? [] : 'nxdomain',
  )
  const egress = createEgress({ ...LOCKED, dnsServers: [dns.address] })
  for (const name of ['nowhere.test', 'empty.test']) {
    t.equal(await egress.check(`http://${name}/`), null)
    const response = await egress.request({ ...GET, url: `http://${name}/` })
    t.match(response, { errorClass: 'dns_error', bytesSent: false, status: null })
  }
  const late = await egress.request({ ...GET, url: 'http://silent.test/', timeoutMs: 200 })
  t.match(late, { errorClass: 'connect_timeout', bytesSent: false })
  t.ok(late.durationMs < RESOLVER_MS, 'the deadline includes the time for DNS')
  await egress.close()
  await dns.close()
})

t.test('a name is looked up once for many connections, and again after the cache time', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const dns = await startDnsServer(() => ['127.0.0.1'])
  const allow = parseEgressAllow('127.0.0.1')
  const url = `http://hot.test:${receiver.port}/`
  const burst = async (dnsCacheMs: number): Promise<number> => {
    const egress = createEgress({ ...LOCKED, allow, dnsServers: [dns.address], dnsCacheMs })
    dns.queries.length = 0
    const twenty = Array.from({ length: 20 }, () => egress.request({ ...GET, url }))
    t.ok((await Promise.all(twenty)).every(({ ok }) => ok))
    t.equal(await egress.check(url), null)
    await egress.close()
    return dns.queries.length
  }
  t.equal(await burst(5_000), 2)
  t.equal(await burst(0), 4, 'lookups under way are shared, answers are not kept')
  t.equal(receiver.connections, 40)
  await Promise.all([dns.close(), receiver.close()])
})

t.test('the system resolver serves when no servers are named', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress({ ...LOCKED, allow: parseEgressAllow('localhost') })
  t.match(await egress.request({ ...GET, url: `http://localhost:${receiver.port}/` }), { ok: true })
  t.match(await createEgress(LOCKED).check('http://localhost/'), { code: 'address_blocked' })
  await egress.close()
  await receiver.close()
})

t.test('names that cannot exist are refused when they are saved, and not looked up', async (t) => {
  const egress = createEgress({ ...LOCKED, allow: parseEgressAllow('0.0.0.0/0,::/0') })
  for (const host of [
    'a..example.com',
    'example.com..',
    '-a.example.com',
    'a-.example.com',
    'a!b.example.com',
    `${'a'.repeat(64)}.example.com`,
    `${'a.'.repeat(126)}com`,
    'example.com:0',
    '127.0.0.1:0',
  ]) {
    const url = `http://${host}/`
    t.match(await egress.check(url), { code: 'invalid_url' }, url)
    t.match(await egress.request({ ...GET, url }), { errorClass: 'blocked', bytesSent: false }, url)
  }
  await egress.close()
})

t.test(
  'names that are never public are refused when they are saved, unless the operator allows them',
  async (t) => {
    const zone: Record<string, DnsAnswer> = { 'crm.internal': ['10.1.2.3'], 'crm.svc': [PUBLIC_V4] }
    const dns = await startDnsServer((name) => zone[name] ?? 'nxdomain')
    const dnsServers = [dns.address]
    const locked = createEgress({ ...LOCKED, dnsServers })
    const named = createEgress({
      ...LOCKED,
      dnsServers,
      allow: parseEgressAllow('crm.internal:8080,printer'),
    })
    const network = createEgress({ ...LOCKED, dnsServers, allow: parseEgressAllow('10.0.0.0/8') })
    for (const host of [
      'printer',
      'a.localhost',
      'nas.local',
      'crm.internal',
      'crm.svc',
      'x.home.arpa',
      'y.lan.',
    ]) {
      const url = `http://${host}:8080/`
      t.match(
        await locked.check(url),
        { code: 'address_blocked', detail: /not a public name.*EGRESS_ALLOW=/ },
        url,
      )
      t.match(locked.checkText(url), { code: 'address_blocked' }, 'DNS is not asked')
      t.match(await locked.request({ ...GET, url }), { errorClass: 'blocked', bytesSent: false }, url)
    }
    t.equal(await named.check('http://crm.internal:8080/'), null)
    t.equal(await named.check('http://printer/'), null)
    t.match(await named.check('http://crm.internal/'), { code: 'address_blocked' }, 'another port')
    t.equal(await network.check('http://crm.internal/'), null, 'it leads into a network that is allowed')
    t.match(await network.check('http://crm.svc/'), { code: 'address_blocked' }, 'it leads elsewhere')
    t.match(await network.check('http://gone.internal/'), { code: 'address_blocked' }, 'it leads nowhere')
    for (const url of [
      'http://internal.example.com/',
      'http://localhost.example.com/',
      'http://a_b.example.com/',
    ])
      t.equal(locked.checkText(url), null, url)
    await Promise.all([locked.close(), named.close(), network.close(), dns.close()])
  },
)

t.test(
  'ports that other services are on are refused on public hosts, unless the operator allows them',
  async (t) => {
    const dns = await startDnsServer((name) => (name === 'inside.test' ? ['10.1.2.3'] : [PUBLIC_V4]))
    const options = { ...LOCKED, dnsServers: [dns.address] }
    const locked = createEgress(options)
    for (const port of [22, 25, 465, 587, 3306, 5432, 6379, 11211]) {
      for (const host of ['public.test', PUBLIC_V4, `[${PUBLIC_V6}]`]) {
        const url = `https://${host}:${port}/`
        t.match(await locked.check(url), { code: 'port_blocked', detail: /EGRESS_ALLOW=/ }, url)
        t.match(await locked.request({ ...GET, url }), { errorClass: 'blocked', bytesSent: false }, url)
      }
    }
    for (const port of [80, 443, 3000, 8080, 8443, 9000])
      t.equal(await locked.check(`http://public.test:${port}/`), null)
    const allowed = createEgress({
      ...options,
      allow: parseEgressAllow(`public.test:25,${PUBLIC_V4}:22,10.0.0.0/8`),
    })
    t.equal(await allowed.check('http://public.test:25/'), null)
    t.equal(await allowed.check(`http://${PUBLIC_V4}:22/`), null)
    t.equal(await allowed.check('http://inside.test:5432/'), null, 'in a network that is allowed as a whole')
    t.match(await allowed.check('http://other.test:25/'), { code: 'port_blocked' })
    t.match(await allowed.check(`http://${PUBLIC_V4}:25/`), { code: 'port_blocked' })
    await Promise.all([locked.close(), allowed.close(), dns.close()])
  },
)
