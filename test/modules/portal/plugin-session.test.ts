import t from 'tap'
import { DEFAULT_SCOPES, type Scope } from '#infra/auth/scopes.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import type { PortalSessionLink } from '#modules/portal/schemas.ts'
import { startApp } from '#test/support/app.ts'
import {
  briefQuery,
  type NamedOperation,
  type OpenApiDocument,
  operationsOf,
  sampleBody,
} from '#test/support/openapi.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { cookieOf, logIn, OWN_PAGE } from '#test/support/session.ts'
import { createResources } from '#test/support/tenant-resources.ts'

/** Everything here comes from the OpenAPI document: a new route is covered as soon as it exists. */
t.setTimeout(120_000)
const service = await startApp(t)
const { app, db } = service
const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApiDocument
const receiver = await startReceiver(t)
const ownReceiver = await startReceiver(t)
const shop = service.tenant()
/** Of another plugin of the same shop. */
const resources = await createResources(shop, receiver.url, { db, messages: app.messages })

const registered = await shop.post('/api/plugins', {
  name: 'Own',
  slug: 'own',
  webhook_url: ownReceiver.url,
})
if (registered.statusCode !== 201) throw new Error(registered.body)
const made = await shop.post('/api/keys', { name: 'own', kind: 'plugin', plugin: 'own' })
const { key } = made.json<ApiKeyWithSecret>()
const byKey = { authorization: `Bearer ${key}` }
const byLink = await bySession({})
const asViewer = await bySession({ role: 'viewer' })

interface Access {
  role: string
  plugin?: Scope | 'any'
}

const operations = operationsOf(document).filter((operation) => accessOf(operation).role !== 'public')

function accessOf({ operation }: NamedOperation): Access {
  return (operation as unknown as { 'x-access': Access })['x-access']
}

async function bySession(fields: object): Promise<Record<string, string>> {
  const answer = await shop.post('/api/portal-sessions', {
    scope: 'plugin',
    plugin: 'own',
    label: 'author',
    ...fields,
  })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const token = answer.json<PortalSessionLink>().url.split('#')[1]
  return { cookie: cookieOf(await logIn(app, { portal_token: token })), ...OWN_PAGE }
}

async function call(operation: NamedOperation, url: string, headers: Record<string, string>) {
  const body = sampleBody(document, operation)
  const answer = await app.inject({
    method: operation.method.toUpperCase() as 'GET',
    url: `${url}${briefQuery(operation)}`,
    headers: { ...headers, 'x-request-id': 'same', ...(body && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { payload: body.replace(/("tenant_id":)"[^"]*"/g, `$1"${shop.id}"`) }),
  })
  const { code, detail = '' } = (answer.body.startsWith('{') ? JSON.parse(answer.body) : {}) as Record<
    string,
    string
  >
  return { status: answer.statusCode, code, detail, body: answer.body }
}

const unknownPath = ({ path }: NamedOperation): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    name === 'slug' ? 'own' : name.endsWith('id') ? crypto.randomUUID() : 'unknown_1',
  )

/** Of another plugin, as far as what the path names belongs to one. */
function foreignPath({ path, pathParameters }: NamedOperation): string | null {
  const parts = pathParameters.map((name) => {
    const upTo = path.slice(0, path.indexOf(`{${name}}`) + name.length + 2)
    return { name, resource: resources[upTo] }
  })
  if (!parts.some(({ resource }) => resource?.ofPlugin === true)) return null
  return parts.reduce(
    (filled, { name, resource }) => filled.replace(`{${name}}`, resource?.value ?? 'unknown_1'),
    path,
  )
}

t.test('a plugin’s portal session gets on every route what its key gets', async (t) => {
  for (const operation of operations) {
    const url = unknownPath(operation)
    // Things that the first one makes or deletes are there, or not, for both of the others.
    await call(operation, url, byKey)
    const { status, code } = await call(operation, url, byKey)
    const session = await call(operation, url, byLink)
    t.strictSame([session.status, session.code], [status, code], `${operation.name}: ${session.body}`)
    if (accessOf(operation).plugin === undefined) t.equal(session.status, 403, operation.name)
  }
})

t.test('it learns nothing of another plugin and changes nothing of it', async (t) => {
  let tried = 0
  for (const operation of operations) {
    const url = foreignPath(operation)
    if (url === null) continue
    tried++
    const answer = await call(operation, url, byLink)
    t.ok([403, 404].includes(answer.status), `${operation.name}: ${answer.status} ${answer.body}`)
  }
  t.ok(tried >= 20)
  t.equal(receiver.received.length, 0)
})

t.test('as a viewer it reads, and changes nothing', async (t) => {
  const reading = DEFAULT_SCOPES.map((scope) => scope.split(':').slice(0, 2).join(':')).filter((scope) =>
    /:read$/.test(scope),
  )
  for (const operation of operations) {
    const { plugin } = accessOf(operation)
    const may = plugin !== undefined && (plugin === 'any' || reading.includes(plugin))
    const answer = await call(operation, unknownPath(operation), asViewer)
    const isRefused = answer.code === 'forbidden' && /^(?:Use a key|The plugin's scopes)/.test(answer.detail)
    t.equal(isRefused, !may, operation.name)
  }
  const secrets = { config: { api_key: 'sk-of-the-plugin-0123456789' } }
  t.equal((await shop.patch('/api/plugins/own', secrets)).statusCode, 200)
  const read = async (headers: Record<string, string>): Promise<string> =>
    (await app.inject({ url: '/api/plugins/own', headers })).body
  t.notMatch(await read(asViewer), /sk-of-the-plugin/, 'secrets are for those who may change them')
  t.match(await read(byLink), /sk-of-the-plugin/)
  const who = await app.inject({ url: '/api/session', headers: asViewer })
  t.match(who.json(), {
    kind: 'portal',
    role: null,
    plugin: { slug: 'own', name: 'Own', scopes: ['self:read', 'events:read:*'] },
  })
})

t.test('links and sessions of a plugin end with it', async (t) => {
  const url = '/api/plugins/own'
  t.equal((await app.inject({ url, headers: byLink })).statusCode, 200)
  const unopened = (
    await shop.post('/api/portal-sessions', { scope: 'plugin', plugin: 'own', label: 'late' })
  ).json<PortalSessionLink>()
  t.equal((await shop.delete(url)).statusCode, 204)
  t.equal((await app.inject({ url, headers: byLink })).statusCode, 401)
  const late = await logIn(app, { portal_token: unopened.url.split('#')[1] })
  t.match(late.json(), { code: 'portal_link_invalid' })
})
