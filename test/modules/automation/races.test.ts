import t from 'tap'
import { lockCursor } from '#modules/flow-engine/index.ts'
import { HeldTransaction, lockWaits } from '#test/support/locks.ts'
import { codeOf } from '#test/modules/flow/support.ts'
import { type Automation, type CrmShop, made, MIGUEL, startCrm } from './support.ts'

const crm = await startCrm(t)
const FIELDS = { name: 'Welcome', type: 'lead_followup', trigger: 'new_lead', template: 'Hello' }
const WAITS = { ...FIELDS, delay_hours: 48, trigger: 'no_contact' }

/** Answers a change of an automation that goes on as a flow after the change has looked it up. */
async function overtaken(shop: CrmShop, id: string, change: () => Promise<{ statusCode: number }>) {
  const held = new HeldTransaction(shop.db)
  // Changes of what is active wait for it, and do not yet hold the flow's row.
  await held.begin((trx) => lockCursor(trx, shop.tenant.id, 'move'))
  const changing = change()
  await lockWaits(shop.db)
  await made(shop.tenant.post(`/api/automations/${id}/continue`))
  await held.commitOnceWaitedFor()
  return changing
}

const statusOf = async (shop: CrmShop, id: string): Promise<string> =>
  (await made<{ status: string }>(shop.tenant.get(`/api/automation/flows/${id}`))).status

for (const [name, enabled, change] of [
  ['switched off', true, { method: 'post', path: '/toggle', body: { enabled: false, cancel_running: true } }],
  ['switched off by a change', true, { method: 'patch', path: '', body: { delay_hours: 3, enabled: false } }],
  ['switched on', false, { method: 'post', path: '/toggle', body: { enabled: true } }],
  ['deleted', true, { method: 'delete', path: '', body: undefined }],
] as const) {
  t.test(`what has gone on as a flow meanwhile is not ${name}`, async (t) => {
    const shop = await crm.open()
    const { id } = await shop.create({ ...WAITS, enabled })
    if (enabled) {
      await shop.lead(MIGUEL)
      await shop.settle()
    }
    const before = await shop.outcomes(id)
    const answer = await overtaken(shop, id, async () =>
      shop.tenant[change.method](`/api/automations/${id}${change.path}`, change.body),
    )
    t.equal(codeOf(answer as never), '404 automation_not_found')
    t.equal(await statusOf(shop, id), enabled ? 'active' : 'inactive')
    t.same(await shop.outcomes(id), before)
    t.equal(before.length, enabled ? 1 : 0)
  })
}

t.test('one that others change meanwhile is still switched off', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(FIELDS)
  const held = new HeldTransaction(shop.db)
  await held.begin((trx) =>
    trx
      .updateTable('automation_flows')
      .set((eb) => ({ revision: eb('revision', '+', 1) }))
      .where('tenant_id', '=', shop.tenant.id)
      .where('id', '=', id)
      .execute(),
  )
  const toggling = made<Automation>(shop.tenant.post(`/api/automations/${id}/toggle`, {}))
  await held.commitOnceWaitedFor()
  t.match(await toggling, { id, enabled: false })
})
