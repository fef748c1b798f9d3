import type { TenantRole } from '#db/schema.ts'
import t from 'tap'
import { DEFAULT_SCOPES, type Scope, SCOPES } from '#infra/auth/scopes.ts'
import { browserHeaders } from '#test/support/session.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import {
  briefQuery,
  type NamedOperation,
  type OpenApiDocument,
  operationsOf,
  sampleBody,
} from '#test/support/openapi.ts'

/**
 * Compares the rights in the OpenAPI document, `x-access` of every operation, with the service's answers. A new route
 * is covered as soon as it exists.
 */
t.setTimeout(120_000)
const service = await startApp(t)
const document = JSON.parse(JSON.stringify(service.app.swagger())) as OpenApiDocument
const operations = operationsOf(document)
const shop = service.tenant()

interface Declared {
  role: 'public' | TenantRole | 'platform'
  plugin?: Scope | 'any'
}

interface Caller {
  key: string | null
  slug?: string
  mayCall(declared: Declared): boolean
}

const RANK = { public: 0, viewer: 1, editor: 2, admin: 3, platform: 4 } as const
const accessOf = ({ operation }: NamedOperation) =>
  (operation as unknown as { 'x-access'?: Declared })['x-access']

async function keyOf(fields: object): Promise<string> {
  const answer = await shop.post('/api/keys', { name: 'of the matrix', ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<{ key: string }>().key
}

async function pluginWith(slug: string, scopes: readonly string[] | null): Promise<Caller> {
  const answer = await shop.post('/api/plugins', {
    name: slug,
    slug,
    webhook_url: 'http://127.0.0.1:9/',
    scopes,
  })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const held = (scopes ?? DEFAULT_SCOPES).map((scope) => scope.split(':').slice(0, 2).join(':'))
  return {
    key: await keyOf({ kind: 'plugin', plugin: slug }),
    slug,
    mayCall: ({ role, plugin }) =>
      role === 'public' || plugin === 'any' || (plugin !== undefined && held.includes(plugin)),
  }
}

const withRole = (key: string | null, rank: number): Caller => ({
  key,
  mayCall: ({ role }) => RANK[role] <= rank,
})

const callers: Record<string, Caller> = {
  'no key': withRole(null, 0),
  'a viewer': withRole(await keyOf({ kind: 'tenant', role: 'viewer' }), 1),
  'an editor': withRole(await keyOf({ kind: 'tenant', role: 'editor' }), 2),
  'an admin': withRole(await keyOf({ kind: 'tenant', role: 'admin' }), 3),
  'the platform': withRole(TEST_PLATFORM_KEY, 4),
  'a plugin of no scopes': await pluginWith('no-scopes', []),
  'a plugin as registered': await pluginWith('as-registered', null),
}
for (const scope of Object.keys(SCOPES)) {
  const given = ['events:read', 'actions:call'].includes(scope) ? `${scope}:*` : scope
  callers[`a plugin of ${given}`] = await pluginWith(`only-${scope.replace(':', '-')}`, [given])
}

t.test('every operation says who may call it', async (t) => {
  for (const operation of operations) t.ok(accessOf(operation), operation.name)
  t.ok(operations.some((operation) => accessOf(operation)?.plugin === 'flows:read'))
})

/** Asked with the credentials of a caller: by its key, or by a session of it. */
type Credentials = Record<string, string>

const byKey = ({ key }: Caller): Credentials => (key === null ? {} : { authorization: `Bearer ${key}` })

/** Tells whether the answer says that this caller may not call it at all. */
async function isRefused(caller: Caller, operation: NamedOperation, by = byKey(caller)): Promise<boolean> {
  return (await ask(caller, operation, by)).isRefused
}

async function ask({ slug }: Caller, operation: NamedOperation, credentials: Credentials) {
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    name === 'slug' ? (slug ?? 'unknown') : name.endsWith('id') ? crypto.randomUUID() : 'unknown_1',
  )
  const body = sampleBody(document, operation)
  const { statusCode, body: text } = await service.app.inject({
    method: operation.method.toUpperCase() as 'GET',
    url: `${path}${briefQuery(operation)}`,
    headers: {
      'x-tenant-id': shop.id,
      ...credentials,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { payload: body.replace(/("tenant_id":)"[^"]*"/g, `$1"${shop.id}"`) }),
  })
  t.not(statusCode, 500, `${operation.name}: ${text}`)
  const { code, detail = '' } = (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, string>
  // A refusal by the operation itself says why: for the key in a body, or of a caller whose role suffices.
  const isUnknown = code === 'unauthenticated' && !detail.startsWith('The key in the body')
  const isForbidden = code === 'forbidden' && /^(?:Use a key|The plugin's scopes do not have)/.test(detail)
  return { isRefused: isUnknown || isForbidden, statusCode, code }
}

for (const [who, caller] of Object.entries(callers)) {
  t.test(`${who} calls what the document says, and nothing else`, async (t) => {
    for (const operation of operations) {
      const declared = accessOf(operation)
      if (declared === undefined) continue
      t.equal(await isRefused(caller, operation), !caller.mayCall(declared), operation.name)
    }
  })
}

for (const [who, caller] of Object.entries(callers)) {
  if (caller.key === null) continue
  t.test(`${who}: a session of the key gets what the key gets`, async (t) => {
    const cookie = await browserHeaders(service.app, { key: caller.key })
    for (const operation of operations) {
      if (accessOf(operation)?.role === 'public') continue
      // Things that the first one makes or deletes are there, or not, for both of the others.
      await ask(caller, operation, byKey(caller))
      const keyAnswer = await ask(caller, operation, byKey(caller))
      const sessionAnswer = await ask(caller, operation, cookie)
      t.strictSame(sessionAnswer, keyAnswer, operation.name)
    }
  })
}

t.test('a plugin’s key does nothing to another plugin', async (t) => {
  const own = callers['a plugin as registered'] as Caller
  for (const operation of operations.filter(({ pathParameters }) => pathParameters.includes('slug'))) {
    t.ok(await isRefused({ ...own, slug: 'no-scopes' }, operation), operation.name)
  }
})
