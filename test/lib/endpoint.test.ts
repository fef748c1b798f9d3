import t from 'tap'
import { endpointFault, ENDPOINT_MAX_CHARS, resolveEndpoint } from '#lib/endpoint.ts'

const BASE = 'https://plugin.example:8443/api/v1'

t.test('an endpoint is a path below the base URL', async (t) => {
  for (const [endpoint, url] of [
    ['/send', `${BASE}/send`],
    ['send', `${BASE}/send`],
    ['actions/send_email/', `${BASE}/actions/send_email/`],
    ['/', `${BASE}/`],
    ['/messages:send', `${BASE}/messages:send`],
    ['/a%20b/c', `${BASE}/a%20b/c`],
    ['/send?mode=fast&x=a/b', `${BASE}/send?mode=fast&x=a/b`],
    ['/...', `${BASE}/...`],
  ] as const) {
    t.equal(endpointFault(endpoint), null, endpoint)
    t.equal(resolveEndpoint(BASE, endpoint), url)
  }
  t.equal(resolveEndpoint('https://plugin.example', '/send'), 'https://plugin.example/send')
  t.equal(resolveEndpoint('https://plugin.example/api/', 'send'), 'https://plugin.example/api/send')
})

t.test('nothing else is called, however it is written', async (t) => {
  const hostile = [
    '',
    '//evil/',
    '///evil/',
    '/a//evil',
    '@evil/',
    '/@evil/',
    '\\\\evil\\',
    '/\\evil',
    '\\evil',
    'https://evil/',
    'https:evil',
    'javascript:alert(1)',
    '../../admin',
    '/../admin',
    '/a/../../admin',
    '/a/..',
    './a',
    '/a/./b',
    '/%2e%2e/admin',
    '/.%2E/admin',
    '/%2e/admin',
    '/%252e%252e/admin',
    '/..%2fadmin',
    '/a%2f..%2f..%2fadmin',
    '/a%5c..%5cadmin',
    '/a%00',
    '/a%0d%0aHost:evil',
    '/a%7f',
    '/%40evil',
    '/a%3fb',
    '/a%23b',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a#b',
    '/a\tb',
    '/a\nb',
    '\t//evil/',
    ' /a',
    '/a b',
    '/a\u0000b',
    '/a\u202eb',
    '/é',
    '/\uff0f\uff0fevil/',
    '/\ud800',
    `/${'a'.repeat(ENDPOINT_MAX_CHARS)}`,
  ]
  for (const endpoint of hostile) {
    t.ok(endpointFault(endpoint), JSON.stringify(endpoint))
    t.equal(resolveEndpoint(BASE, endpoint), null, JSON.stringify(endpoint))
  }
})

t.test(
  'whatever is taken stays on the origin and below the path, for every pair of characters',
  async (t) => {
    const characters = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
    const heads = ['', '/', 'a', '/a', '/a/']
    const left: string[] = []
    for (const head of heads) {
      for (const one of characters) {
        for (const two of characters) {
          const endpoint = `${head}${one}${two}evil.example`
          const url = resolveEndpoint(BASE, endpoint)
          if (url === null) continue
          const { origin, pathname, username, hash } = new URL(url)
          const stays = origin === 'https://plugin.example:8443' && pathname.startsWith('/api/v1/')
          if (!stays || username !== '' || hash !== '') left.push(endpoint)
        }
      }
    }
    t.strictSame(left, [])
  },
)

t.test('a base that is no URL has nothing below it', async (t) => {
  t.equal(resolveEndpoint('plugin.example', '/send'), null)
})
