import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { bodyOf, codeOf, created, FLOWS, taskFlow } from '../support.ts'

const service = await startApp(t)
const { db } = service

const manual = (rest: Record<string, unknown> = {}) =>
  taskFlow({
    status: 'active',
    trigger: {
      type: 'manual',
      input_schema: { customer_id: { type: 'string', required: true }, amount: 'number' },
    },
    ...rest,
  })

t.test('a run by hand starts what is published, with an input that fits', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, manual())
  const url = `${FLOWS}/${flow.id}/run`
  const started = bodyOf(await shop.post(url, { input: { customer_id: 'cus_1', amount: 10 } }), 202)
  t.match(started, { status: 'queued', version: 1, reason: null })
  const execution = await db
    .selectFrom('automation_executions')
    .selectAll()
    .where('id', '=', started['execution_id'] as string)
    .executeTakeFirstOrThrow()
  t.match(execution, {
    tenant_id: shop.id,
    flow_id: flow.id,
    version: 1,
    status: 'queued',
    trigger_kind: 'manual',
    trigger: { data: { customer_id: 'cus_1', amount: 10 }, event: null },
    causation_depth: 0,
  })

  const refused = await shop.post(url, { input: { amount: 'ten' } })
  t.equal(codeOf(refused), '422 flow_input_invalid')
  t.match(refused.json(), { errors: [{ pointer: /^\/input/ }, { pointer: /^\/input/ }] })
  t.equal(codeOf(await shop.post(url)), '422 flow_input_invalid', 'no input is {}')
  t.equal(codeOf(await shop.post(url, { input: [] })), '400 invalid_request')
  t.equal(codeOf(await shop.post(url, { data: {} })), '400 invalid_request')
})

t.test('what is not active or not made for it does not start by hand', async (t) => {
  const shop = service.tenant()
  const draft = await created(shop, manual({ status: 'draft' }))
  t.equal(codeOf(await shop.post(`${FLOWS}/${draft.id}/run`)), '409 flow_not_active')
  const byEvent = await created(shop, taskFlow({ status: 'active' }))
  t.equal(codeOf(await shop.post(`${FLOWS}/${byEvent.id}/run`)), '409 flow_not_manual')
  await shop.post(`${FLOWS}/${byEvent.id}/deactivate`)
  t.equal(codeOf(await shop.post(`${FLOWS}/${byEvent.id}/run`)), '409 flow_not_active')
  t.equal(codeOf(await shop.post(`${FLOWS}/${crypto.randomUUID()}/run`)), '404 flow_not_found')
  t.equal(codeOf(await service.tenant().post(`${FLOWS}/${draft.id}/run`)), '404 flow_not_found')
})

t.test('a key makes a run happen once', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, manual())
  const run = (customer: string, key: string, id = flow.id) =>
    shop.post(`${FLOWS}/${id}/run`, { input: { customer_id: customer } }, { 'idempotency-key': key })
  const answers = await Promise.all([run('cus_1', 'a'), run('cus_1', 'a'), run('cus_1', 'a')])
  const bodies = answers.map((answer) => bodyOf(answer, 202))
  t.equal(new Set(bodies.map(({ execution_id }) => execution_id)).size, 1)
  t.strictSame(bodies.map(({ status }) => status).sort(), ['duplicate', 'duplicate', 'queued'])
  t.equal(codeOf(await run('cus_2', 'a')), '409 flow_run_conflict')
  t.match(bodyOf(await run('cus_2', 'b'), 202), { status: 'queued' })
  const other = await created(shop, manual())
  t.match(bodyOf(await run('cus_1', 'a', other.id), 202), { status: 'queued' }, 'a key is of one flow')
})

t.test('a run that the rules of enrolment refuse says why', async (t) => {
  const shop = service.tenant()
  const settings = { enrolment: { key: '{{trigger.customer_id}}', while_active: 'skip' } }
  const { id } = await created(shop, manual({ settings }))
  const run = async () =>
    bodyOf(await shop.post(`${FLOWS}/${id}/run`, { input: { customer_id: 'cus_1' } }), 202)
  t.match(await run(), { status: 'queued' })
  t.match(await run(), { status: 'skipped', reason: 'already_active', execution_id: String })
})
