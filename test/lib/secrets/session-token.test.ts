import t from 'tap'
import { generateApiKey } from '#lib/secrets/api-key.ts'
import { bearerToken, generateBearerToken, generateToken, isToken } from '#lib/secrets/session-token.ts'

t.test('a token is 32 random bytes, and told from what is none', async (t) => {
  const tokens = Array.from({ length: 100 }, generateToken)
  t.equal(new Set(tokens).size, tokens.length)
  for (const token of tokens) {
    t.equal(Buffer.from(token, 'base64url').length, 32)
    t.ok(isToken(token))
  }
  const [token = ''] = tokens
  for (const text of ['', token.slice(1), `${token}A`, `${token.slice(1)}=`, generateBearerToken()]) {
    t.notOk(isToken(text), text)
  }
})

t.test('the bearer of a session is told from that of a key', async (t) => {
  const token = generateBearerToken()
  t.equal(bearerToken(`Bearer ${token}`), token)
  t.equal(bearerToken(`bearer  ${token}`), token)
  for (const header of [
    token,
    `Basic ${token}`,
    `Bearer ${generateApiKey()}`,
    `Bearer ${generateToken()}`,
    `Bearer ${token}x`,
    'Bearer bcss_',
    'Bearer ',
  ]) {
    t.equal(bearerToken(header), null, header)
  }
})
