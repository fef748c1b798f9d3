import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { generateDocuments } from '#openapi/document.ts'
import { examplesOf, type NamedOperation, type OpenApiDocument, type Schema } from '#test/support/openapi.ts'
import { Contract, type Parameter } from './contract.ts'
import { type PrintedCall, printedCalls } from './printed-calls.ts'
import { compileCalls, typesOf } from './typed-client.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PAGES = ['README.md', 'docs/platform.md', 'docs/plugin-authors.md']

const generated = await generateDocuments()
const document = JSON.parse(generated['openapi/openapi.json'] ?? '') as OpenApiDocument
const contract = new Contract(document)
const types = await typesOf(document)

const printed = await Promise.all(
  PAGES.map(async (page) => printedCalls(t, await readFile(resolve(ROOT, page), 'utf8'))),
)
const documented = printed.flat().map(typedCall)
const minimal = contract.operations.flatMap((found) => {
  const { requestBody } = found.operation
  const examples = Object.entries(requestBody?.content ?? {}).flatMap(([type, content]) =>
    examplesOf(content).map((body) => callOf(found, required(found), { body, type })),
  )
  return requestBody?.required === true ? examples : [callOf(found, required(found)), ...examples]
})
const WRONG = [
  `void client.GET('/api/plugin')`,
  `void client.GET('/api/plugins', { params: { query: { limit: 'ten' } } })`,
  `void client.GET('/api/plugins', { params: { query: { page: 2 } } })`,
  `void client.GET('/api/plugins', { params: { header: { 'X-Tenant': 'x' } } })`,
  `void client.GET('/api/plugins/{slug}')`,
  `void client.POST('/api/plugins')`,
  `void client.POST('/api/plugins', { body: { name: 'My plugin' } })`,
  `{ const body: Body<'/api/plugins', 'post', 'application/json'> = { name: 'x', webhook_url: 'x', event: [] } }`,
]
// One program for all of them: making it takes most of the time.
const errors = compileCalls(types, [...documented, ...minimal, ...WRONG])
const errorsOf = (calls: string[], from: number) =>
  calls.flatMap((call, index) => (errors[from + index] ?? []).map((error) => `${error}\n  in ${call}`))

t.test('the documented calls compile against generated types', async (t) => {
  for (const [index, calls] of printed.entries()) t.ok(calls.length > 3, `${PAGES[index]} prints calls`)
  t.strictSame(errorsOf(documented, 0), [])
})

t.test('every operation can be called with no more than it requires, and with each example', async (t) => {
  t.ok(minimal.length > contract.operations.length)
  t.strictSame(errorsOf(minimal, documented.length), [])
})

t.test('what the document does not allow does not compile', async (t) => {
  for (const [index, call] of WRONG.entries()) {
    t.equal(errors[documented.length + minimal.length + index]?.length, 1, call)
  }
})

/** The call as somebody writes it with openapi-fetch. */
function typedCall({ method, url, headers, body }: PrintedCall): string {
  const found = contract.find(method, url.pathname)
  if (found === null) throw new Error(`${method} ${url.pathname} is not declared`)
  const given = [
    ...contract.pathValues(found, url.pathname).map(([name, value]) => ['path', name, value]),
    ...[...url.searchParams].map(([name, value]) => ['query', name, value]),
    ...headers
      .filter(([name]) => !/^(?:authorization|content-type)$/i.test(name))
      .map(([name, value]) => ['header', name, value]),
  ] as [string, string, string][]
  const declared = contract.parametersOf(found)
  const params = given.map(([place, name, value]) => {
    const parameter = declared.find(
      (one) => one.in === place && one.name.toLowerCase() === name.toLowerCase(),
    )
    return [place, parameter?.name ?? name, typed(value, parameter?.schema)] as const
  })
  return callOf(found, params, body === undefined ? undefined : { body, type: 'application/json' })
}

type Params = (readonly [place: string, name: string, value: unknown])[]

function required(found: NamedOperation): Params {
  return contract
    .parametersOf(found)
    .filter((parameter) => parameter.required === true)
    .map(({ in: place, name, schema }: Parameter) => [place, name, typed('1', schema)])
}

function typed(text: string, schema: Schema | undefined): unknown {
  if (schema?.['type'] === 'integer' || schema?.['type'] === 'number') return Number(text)
  return schema?.['type'] === 'boolean' ? text === 'true' : text
}

function callOf(
  { method, path }: NamedOperation,
  given: Params,
  content?: { body: unknown; type: string },
): string {
  const params: Record<string, Record<string, unknown>> = {}
  for (const [place, name, value] of given) (params[place] ??= {})[name] = value
  const url = JSON.stringify(path)
  const init = [
    given.length > 0 && `params: ${JSON.stringify(params)}`,
    content !== undefined && 'body',
    content !== undefined && `headers: ${JSON.stringify({ 'content-type': content.type })}`,
  ].filter((part) => part !== false)
  const call = `void client.${method.toUpperCase()}(${url}, { ${init.join(', ')} })`
  if (content === undefined) return call
  const type = `Body<${url}, '${method}', '${content.type}'>`
  return `{ const body: ${type} = ${JSON.stringify(content.body)}; ${call} }`
}
