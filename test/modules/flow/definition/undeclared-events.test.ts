import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { answerOf, bodyOf, codeOf, created, FLOWS, runnerOf } from '../support.ts'

const service = await startApp(t)
const run = runnerOf(service)

const onEmail = {
  name: 'After an email',
  status: 'active',
  trigger: { type: 'event', event_types: ['email.sent'] },
  steps: [
    { id: 'wait', type: 'wait_event', event: 'email.opened', match: 'trigger.email_id', timeout: '1 day' },
    { id: 'note', type: 'set', variables: { opened: 'Email {{trigger.email_id}}' } },
  ],
}
const post = (shop: Tenant, event_type: string) =>
  shop.post('/plugins/automation/webhook', {
    event_type,
    payload: { customer_id: '123', email_id: '456' },
  })
const runsOf = async (shop: Tenant) =>
  bodyOf(await shop.get('/api/automation/executions'))['data'] as { status: string }[]

t.test('a lenient shop has flows that start by, and wait for, types that nobody declared', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, onEmail)
  t.equal(flow.status, 'active')
  t.match(
    flow.problems.filter(({ code }) => code === 'unknown_event_type'),
    [{ severity: 'warning' }, { severity: 'warning' }],
  )
  t.equal((await post(shop, 'email.sent')).statusCode, 202)
  await run(shop)
  t.match(await runsOf(shop), [{ status: 'waiting' }])
  t.equal((await post(shop, 'email.opened')).statusCode, 202)
  await run(shop)
  t.match(await runsOf(shop), [{ status: 'completed' }])
  const again = answerOf<{ problems: { code: string }[] }>(await shop.post(`${FLOWS}/validate`, onEmail))
  t.notMatch(again.problems, [{ code: 'unknown_event_type' }], 'what was seen is known')
})

t.test('a strict shop has none on a type that was only seen', async (t) => {
  const shop = service.tenant()
  await post(shop, 'email.sent')
  bodyOf(await shop.patch('/api/tenant', { strict_events: true }))
  t.equal(codeOf(await shop.post(FLOWS, onEmail)), '422 flow_invalid')
  for (const name of ['email.sent', 'email.opened']) await shop.put(`/api/event-types/${name}`, {})
  t.equal((await created(shop, onEmail)).status, 'active')
})

t.test('a test run has the shape of what was seen', async (t) => {
  const shop = service.tenant()
  await post(shop, 'email.sent')
  const definition = { ...onEmail, steps: onEmail.steps.slice(1) }
  const answer = bodyOf(await shop.post(`${FLOWS}/test`, { definition }))
  t.match(answer['steps'], [{ step_id: 'note', status: 'simulated' }])
})
