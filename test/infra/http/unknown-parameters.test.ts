import t from 'tap'
import { generateDocuments } from '#openapi/document.ts'
import { startApp } from '#test/support/app.ts'
import { type OpenApiDocument, operationsOf, sampleOf } from '#test/support/openapi.ts'

const service = await startApp(t)
const generated = await generateDocuments()
const document = JSON.parse(generated['openapi/openapi.json'] ?? '') as OpenApiDocument
const reads = operationsOf(document).filter(
  ({ method, path }) => method === 'get' && path.startsWith('/api/'),
)

t.test('no list passes over a parameter that it does not know', async (t) => {
  const tenant = service.tenant()
  t.ok(reads.length > 20)
  for (const { name, path, operation } of reads) {
    const url = (operation.parameters ?? [])
      .filter((parameter) => parameter.in === 'path')
      .reduce((at, part) => at.replace(`{${part.name}}`, String(sampleOf(document, part.schema))), path)
    const required = (operation.parameters ?? [])
      .filter((parameter) => parameter.in === 'query' && parameter.required === true)
      .map(
        (parameter) =>
          `${parameter.name}=${encodeURIComponent(String(sampleOf(document, parameter.schema)))}&`,
      )
    const response = await tenant.get(`${url}?${required.join('')}no_such_parameter=1`)
    t.match(
      response.json(),
      { code: 'invalid_request', errors: [{ pointer: '/querystring/no_such_parameter' }] },
      name,
    )
  }
})

t.test('a filter that does not exist is refused by its name', async (t) => {
  const tenant = service.tenant()
  const response = await tenant.get('/api/plugins/events?sinc=2099-01-01T00:00:00Z')
  t.match(response.json(), {
    status: 400,
    errors: [{ pointer: '/querystring/sinc', detail: /is not a parameter of this route/ }],
  })
})
