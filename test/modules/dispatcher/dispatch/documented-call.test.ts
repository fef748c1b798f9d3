import t from 'tap'
import { newId } from '#lib/ids.ts'
import { startApp } from '#test/support/app.ts'
import { json, registerPlugin, startPlugin } from '../support.ts'

interface Documented {
  parameters: { name: string; required: boolean }[]
  requestBody: { content: { 'application/json': { schema: { required: string[] } } } }
}

const service = await startApp(t)

t.test('what a plugin is called with is what the OpenAPI document says', async (t) => {
  const document = (await service.app.inject('/openapi.json')).json<{
    webhooks: { action: { post: Documented } }
  }>()
  const { parameters, requestBody } = document.webhooks.action.post
  const plugin = await startPlugin(t, { '/hook': json(200, { sent: true }) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url)
  const call = {
    flowExecutionId: newId(),
    actionType: 'send_welcome_email',
    pluginRef: null,
    payload: { to: 'ada@example.com', template: 'welcome' },
    timeoutMs: null,
    maxRetries: 0,
  }
  await service.app.dispatcher.runAction(shop.id, {
    ...call,
    eventKey: 'of a flow',
    mayHaveRun: false,
    causationDepth: 1,
    causationId: newId(),
  })
  await service.app.dispatcher.runAction(shop.id, {
    ...call,
    eventKey: 'of a dispatch',
    mayHaveRun: false,
    causationDepth: 0,
    causationId: null,
  })

  const [ofFlow, ofDispatch] = plugin.received
  const documented = new Set(parameters.map(({ name }) => name))
  const own = (headers: object): string[] => Object.keys(headers).filter((name) => documented.has(name))
  t.strictSame(new Set(own(ofFlow?.headers ?? {})), documented)
  t.strictSame(
    new Set(own(ofDispatch?.headers ?? {})),
    new Set(parameters.filter(({ required }) => required).map(({ name }) => name)),
  )
  const unknown = Object.keys(ofFlow?.headers ?? {}).filter((name) => /^(x-|webhook-|idem)/.test(name))
  t.ok(
    unknown.every((name) => documented.has(name)),
    'and nothing beside it',
  )
  const body = JSON.parse(ofFlow?.body.toString() ?? '{}') as object
  t.strictSame(Object.keys(body), [
    ...Object.keys(call.payload),
    ...requestBody.content['application/json'].schema.required,
  ])
})
