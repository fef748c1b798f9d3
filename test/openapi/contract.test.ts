import t from 'tap'
import type { OpenApiDocument } from '#test/support/openapi.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { Contract, type Exchange } from './contract.ts'
import { startProxy } from './proxy.ts'

const Pet = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    tags: { type: 'array', items: { $ref: '#/components/schemas/Tag' } },
  },
  required: ['name'],
}
const contract = new Contract({
  tags: [],
  components: {
    schemas: { Pet, Tag: { type: 'object', properties: { id: { type: 'integer' } } } },
    parameters: { Trace: { in: 'header', name: 'X-Trace', schema: { type: 'string', format: 'uuid' } } },
    headers: { etag: { schema: { type: 'string', pattern: '^"' } } },
  } as OpenApiDocument['components'],
  paths: {
    '/pets/{id}': {
      put: {
        operationId: 'putPet',
        parameters: [
          { in: 'path', name: 'id', required: true, schema: { type: 'integer' } },
          { in: 'query', name: 'dry', schema: { type: 'boolean' } },
          { $ref: '#/components/parameters/Trace' } as never,
        ],
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Pet' } } },
        },
        responses: {
          200: {
            description: 'The pet',
            headers: { etag: { $ref: '#/components/headers/etag' } },
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Pet' } } },
          },
          204: { description: 'Nothing has changed' },
        },
      },
    },
  },
})

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }
const GOOD: Exchange = {
  method: 'PUT',
  url: '/pets/7?dry=true',
  headers: { ...JSON_TYPE, host: 'here', 'x-trace': '0190f2a4-5b7e-7c3d-9a41-2f6f0c1d8e55' },
  body: Buffer.from('{"name":"Rex"}'),
  status: 200,
  answerHeaders: { ...JSON_TYPE, date: 'now', etag: '"1"' },
  answer: Buffer.from('{"name":"Rex","tags":[{"id":1}]}'),
}

t.test('what the document says passes', async (t) => {
  t.strictSame(contract.check(GOOD), { operationId: 'putPet', violations: [] })
  const nothing = { ...GOOD, status: 204, answerHeaders: {}, answer: Buffer.alloc(0) }
  t.strictSame(contract.check(nothing).violations, [])
})

const WRONG: Record<string, [Partial<Exchange>, RegExp]> = {
  'an unknown path': [{ url: '/pets' }, /PUT \/pets is not declared/],
  'an unknown method': [{ method: 'PATCH' }, /PATCH \/pets\/7 is not declared/],
  'a path parameter of another type': [{ url: '/pets/rex' }, /path parameter id .*must be integer/],
  'an undeclared query parameter': [{ url: '/pets/7?wet=1' }, /query parameter wet is not declared/],
  'an undeclared request header': [
    { headers: { ...GOOD.headers, 'x-other': '1' } },
    /header parameter x-other is not declared/,
  ],
  'a request header of another form': [
    { headers: { ...GOOD.headers, 'x-trace': '1' } },
    /header parameter x-trace .*format/,
  ],
  'a request without its body': [{ body: Buffer.alloc(0) }, /body is required/],
  'a request without a member': [{ body: Buffer.from('{}') }, /required property 'name'/],
  'a request of another media type': [
    { headers: { 'content-type': 'text/plain' } },
    /media type "text\/plain" is not declared/,
  ],
  'an undeclared status': [{ status: 418 }, /status 418 is not declared/],
  'an undeclared media type': [
    { answerHeaders: { 'content-type': 'text/html' } },
    /media type "text\/html" is not declared/,
  ],
  'an undeclared answer header': [
    { answerHeaders: { ...GOOD.answerHeaders, 'x-powered-by': 'us' } },
    /header x-powered-by is not declared/,
  ],
  'an answer header of another form': [
    { answerHeaders: { ...GOOD.answerHeaders, etag: '1' } },
    /header etag .*pattern/,
  ],
  'an undeclared member': [{ answer: Buffer.from('{"name":"Rex","age":3}') }, /additionalProperty":"age"/],
  'an undeclared member below a reference': [
    { answer: Buffer.from('{"name":"Rex","tags":[{"id":1,"no":2}]}') },
    /additionalProperty":"no"/,
  ],
  'an answer without a member': [{ answer: Buffer.from('{}') }, /required property 'name'/],
  'an undeclared body': [{ status: 204, answerHeaders: JSON_TYPE }, /204: a body is not declared/],
}

t.test('what the document does not say is told', async (t) => {
  for (const [name, [change, violation]] of Object.entries(WRONG)) {
    const { violations } = contract.check({ ...GOOD, ...change })
    t.equal(violations.length, 1, `${name}: ${violations.join('; ')}`)
    t.match(violations[0], violation, name)
  }
})

t.test('the proxy hands on both directions unaltered, and checks them', async (t) => {
  const service = await startReceiver(t)
  service.answer((_received, response) => {
    response.writeHead(200, { 'content-type': 'application/json', etag: '"2"', 'x-extra': 'yes' })
    response.end('{"name":"Rex"}')
  })
  const proxy = await startProxy(t, service.url, contract)
  const answer = await fetch(`${proxy.url}/pets/7?dry=false`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{"name":"Ré"}',
  })
  t.strictSame(
    [answer.status, answer.headers.get('x-extra'), await answer.text()],
    [200, 'yes', '{"name":"Rex"}'],
  )
  t.match(service.received, [{ method: 'PUT', path: '/pets/7?dry=false', body: '{"name":"Ré"}' }])
  t.match(proxy.checked, [
    {
      operationId: 'putPet',
      status: 200,
      violations: [/^PUT \/pets\/\{id\}: 200: the header x-extra is not/],
    },
  ])
})
