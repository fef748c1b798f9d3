import { readdir, readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import t from 'tap'
import { generateDocuments } from '#openapi/document.ts'
import { problemCatalogue } from '#lib/api/problem.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { briefQuery, type OpenApiDocument, operationsOf, type Schema } from '#test/support/openapi.ts'

const ROOT = resolve(import.meta.dirname, '../..')
/** Problems of the service as a whole, which no single route declares. */
const UNDECLARED = new Set([
  'headers_too_large',
  'internal_error',
  'method_not_allowed',
  'overloaded',
  'rate_limited',
  'request_timeout',
  'route_not_found',
])

const generated = await generateDocuments()
const document = JSON.parse(generated['openapi/openapi.json'] ?? '') as OpenApiDocument
const operations = operationsOf(document)

t.test('the committed documents are what the code says (npm run openapi)', async (t) => {
  for (const [path, text] of Object.entries(generated)) {
    const committed = await readFile(resolve(ROOT, path), 'utf8').catch(() => '')
    t.ok(committed === text, `${path} is current`)
  }
})

t.test('the OpenAPI document is valid', async (t) => {
  const { valid, errors } = await new Validator().validate(
    structuredClone(document) as object as Record<string, unknown>,
  )
  t.ok(valid, JSON.stringify(errors))
  t.ok(operations.length > 0)
})

t.test('every operation says what it is', async (t) => {
  const tags = new Set(document.tags.map(({ name }) => name))
  const ids = operations.map(({ operation }) => operation.operationId)
  t.same(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
    'no operationId twice',
  )
  for (const { name, operation } of operations) {
    t.match(operation.operationId, /^[a-z][A-Za-z]+$/, `${name} has an operationId`)
    t.ok(operation.summary, `${name} has a summary`)
    t.ok(operation.description, `${name} has a description`)
    t.ok(operation.tags?.length === 1 && tags.has(operation.tags[0] ?? ''), `${name} has a known tag`)
  }
})

t.test('every operation says what it answers', async (t) => {
  for (const { name, operation, pathParameters } of operations) {
    const { responses } = operation
    const statuses = Object.keys(responses)
    const has = (status: string) => statuses.includes(status)
    t.ok(
      statuses.some((status) => status.startsWith('2')),
      `${name} has a success`,
    )
    for (const [status, { content }] of Object.entries(responses)) {
      if (!status.startsWith('4')) continue
      t.equal(
        content?.['application/problem+json']?.schema?.$ref,
        '#/components/schemas/Problem',
        `${name} ${status} is a problem`,
      )
    }
    if (operation.security === undefined) t.ok(has('401') && has('403'), `${name} has 401 and 403`)
    if (operation.requestBody !== undefined) t.ok(has('400'), `${name} has 400`)
    if (pathParameters.length > 0) t.ok(has('404') || has('201'), `${name} has 404, or makes what it names`)
  }
})

t.test('what has a default may be left out', async (t) => {
  let defaults = 0
  for (const { name, operation } of operations) {
    for (const parameter of operation.parameters ?? []) {
      if ((parameter as Partial<typeof parameter>).schema?.['default'] === undefined) continue
      defaults++
      t.not(parameter.required, true, `${name}: ${parameter.name}`)
    }
  }
  t.ok(defaults > 0)
  // openapi-typescript takes them for members that are always there.
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    t.same(defaultsIn(schema), [], `${name} says its defaults in words`)
  }
})

t.test('a body is required exactly where the service refuses to do without', async (t) => {
  const { app } = await startApp(t)
  const client = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
  for (const { name, method, path, operation } of operations) {
    if (operation.requestBody === undefined) continue
    const url = path.replace('{name}', 'order.created').replaceAll(/\{\w+\}/g, () => crypto.randomUUID())
    const answer = await app.inject({
      method: method.toUpperCase() as 'POST',
      url,
      headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': client.id },
    })
    // A caller without a token for a completion is told so before a body is read.
    const isRefused = answer.statusCode === (path.startsWith('/api/actions/') ? 404 : 400)
    t.equal(isRefused, operation.requestBody.required, `${name}: ${answer.body}`)
  }
})

t.test('every route with a key takes X-Tenant-Id, and every route X-Request-Id', async (t) => {
  for (const { name, operation } of operations) {
    const refs = (operation.parameters ?? []).map((parameter) => (parameter as { $ref?: string }).$ref)
    t.equal(refs.includes('#/components/parameters/TenantId'), operation.security === undefined, name)
    t.ok(refs.includes('#/components/parameters/RequestId'), name)
  }
})

t.test('every example is valid by its own schema', async (t) => {
  const ajv = addFormats.default(new Ajv({ strict: false, useDefaults: true }))
  ajv.addSchema(document, 'document')
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    for (const example of (schema['examples'] ?? []) as unknown[]) {
      const ok = ajv.validate({ $ref: `document#/components/schemas/${name}` }, example)
      t.ok(ok, `${name}: ${ajv.errorsText()}`)
    }
  }
})

t.test('every problem is documented, and declared by a route', async (t) => {
  const loaded = new Set(problemCatalogue().map(({ code }) => code))
  const page = generated['docs/problems.md'] ?? ''
  for (const code of await definedCodes()) {
    t.ok(loaded.has(code), `${code} belongs to the service`)
    t.ok(page.includes(`\n### ${code}\n`), `${code} is in docs/problems.md`)
  }
  const declared = operations.flatMap(({ operation }) =>
    Object.values(operation.responses).flatMap(({ description }) =>
      [...description.matchAll(/`([a-z0-9_]+)`:/g)].map(([, code]) => code),
    ),
  )
  t.same([...loaded].filter((code) => !declared.includes(code) && !UNDECLARED.has(code)).sort(), [])
})

t.test('who may call is what the document says', async (t) => {
  const { app } = await startApp(t)
  const platform = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
  for (const named of operations) {
    const { name, method, path, operation } = named
    const url = path.replaceAll(/\{\w+\}/g, crypto.randomUUID()) + briefQuery(named)
    const upper = method.toUpperCase() as 'GET'
    const { statusCode } = await app.inject({ method: upper, url })
    if (operation.security === undefined) t.equal(statusCode, 401, `${name} asks for a key`)
    else {
      t.same(operation.security, [], name)
      t.notOk([401, 403].includes(statusCode), `${name} is public`)
    }
    if (method !== 'get') continue
    const { statusCode: asPlatform } = await platform.get(url)
    t.not(asPlatform, 403, `${name} says who may call it`)
  }
})

t.test('no path and no query gives a 500', async (t) => {
  const { app } = await startApp(t)
  const client = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
  const hostile = [
    '%00',
    'urn:uuid:00000000-0000-7000-8000-000000000000',
    '%F0%90%80',
    '..%2F',
    '%',
    'x'.repeat(300),
  ]
  for (const named of operations) {
    const { name, path, method, operation } = named
    if (method !== 'get') continue
    for (const value of hostile) {
      const url = path.replaceAll(/\{\w+\}/g, value)
      const queries = (operation.parameters ?? []).filter(({ in: place }) => place === 'query')
      for (const query of [briefQuery(named), ...queries.map((parameter) => `?${parameter.name}=${value}`)]) {
        const { statusCode } = await client.get(url + query)
        t.ok(statusCode < 500, `${name}: ${url}${query}`)
      }
    }
  }
})

/** The paths of members with a `default`, in a schema. */
function defaultsIn(schema: Schema, path = ''): string[] {
  const members = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>)
  const parts = [
    ...members.map(([name, part]) => [`${path}/${name}`, part] as const),
    ...['anyOf', 'oneOf', 'allOf'].flatMap((keyword) =>
      ((schema[keyword] ?? []) as Schema[]).map((part) => [path, part] as const),
    ),
    ...(typeof schema['items'] === 'object' ? [[`${path}/items`, schema['items'] as Schema] as const] : []),
  ]
  return [
    ...('default' in schema ? [path] : []),
    ...parts.flatMap(([place, part]) => defaultsIn(part, place)),
  ]
}

/** Lists the codes that the sources define, whether the service loads them or not. */
async function definedCodes(): Promise<string[]> {
  const entries = await readdir(resolve(ROOT, 'src'), { recursive: true })
  const sources = await Promise.all(
    entries
      .filter((entry) => entry.endsWith('.ts'))
      .map((entry) => readFile(resolve(ROOT, 'src', entry), 'utf8')),
  )
  return sources.flatMap((source) =>
    [...source.matchAll(/defineProblem\(\s*'([^']+)'/g)].map(([, code]) => String(code)),
  )
}
