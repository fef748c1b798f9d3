import t from 'tap'
import { allowsHost } from '#lib/connection-hosts.ts'
import { withParameter } from '#modules/connection/index.ts'

t.test('hosts are compared as wholes, with their ports', async (t) => {
  const hosts = ['api.example.com', '*.shop.example', 'local.example:8443', '[2001:db8::1]:81']
  for (const url of [
    'https://api.example.com/a?b#c',
    'https://api.example.com:443/',
    'http://API.example.com/',
    'https://one.shop.example/',
    'https://a.b.shop.example/',
    'https://local.example:8443/',
    'http://[2001:db8::1]:81/',
  ]) {
    t.ok(allowsHost(hosts, url), url)
  }
  for (const url of [
    'https://example.com/',
    'https://api.example.com.attacker.net/',
    'https://notapi.example.com/',
    'https://api.example.com:8080/',
    'https://shop.example/',
    'https://evilshop.example/',
    'https://local.example/',
    'https://[2001:db8::1]/',
    'not a URL',
  ]) {
    t.notOk(allowsHost(hosts, url), url)
  }
})

t.test('a parameter stands behind what the query has', async (t) => {
  const parameter = { name: 'api key', value: 'a&b=c' }
  t.equal(withParameter('https://x.test/a', parameter), 'https://x.test/a?api%20key=a%26b%3Dc')
  t.equal(
    withParameter('https://x.test/a?b=%20c#d', parameter),
    'https://x.test/a?b=%20c&api%20key=a%26b%3Dc',
  )
  t.equal(withParameter('https://x.test/a', null), 'https://x.test/a')
})
