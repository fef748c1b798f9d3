import Fastify from 'fastify'
import t from 'tap'
import openapi from '#infra/http/openapi.ts'
import { startApp } from '#test/support/app.ts'

t.test('tags and webhooks stand in the order of reading, others behind them', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(openapi, { order: { tags: ['b', 'operation'], webhooks: ['second'] } })
  app.apiDocument.addTag('a', 'declared first')
  app.apiDocument.addTag('b', 'read first')
  app.apiDocument.addWebhooks({ first: {}, second: {} })
  await app.ready()
  const document = app.swagger() as { tags: { name: string }[]; webhooks: object }
  t.same(
    document.tags.map(({ name }) => name),
    ['b', 'operation', 'a'],
  )
  t.same(Object.keys(document.webhooks), ['second', 'first'])
})

t.test('what another module has declared is refused', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(openapi, { order: { tags: [], webhooks: [] } })
  t.throws(() => app.apiDocument.addTag('operation', 'again'), /two declarations of operation/)
})

t.test('every operation and every webhook has a tag that a module declares', async (t) => {
  const { app } = await startApp(t)
  const { tags, paths, webhooks } = app.swagger() as Record<'paths' | 'webhooks', Record<string, object>> & {
    tags: { name: string }[]
  }
  const declared = new Set(tags.map(({ name }) => name))
  for (const [path, methods] of Object.entries({ ...paths, ...webhooks })) {
    for (const [method, operation] of Object.entries(methods) as [string, { tags?: string[] }][]) {
      if (operation.tags === undefined) continue
      t.ok(
        operation.tags.every((tag) => declared.has(tag)),
        `${method} ${path}`,
      )
    }
  }
})
