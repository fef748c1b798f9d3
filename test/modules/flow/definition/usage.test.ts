import t from 'tap'
import { newId } from '#lib/ids.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { HeldTransaction, lockWaits } from '#test/support/locks.ts'

const service = await startApp(t)
const { db } = service
const CONNECTION = {
  name: 'http',
  kind: 'bearer',
  hosts: ['api.example.com'],
  values: { token: 'the-token-of-the-shop' },
}
const ask = (rest: object) => ({ id: 'ask', type: 'http', url: 'https://api.example.com/', ...rest })
const note = (title: string, rest: object = {}) => ({
  id: 'note',
  type: 'action',
  action_type: 'create_task',
  input: { title },
  ...rest,
})
const flowOf = (...steps: object[]) => ({ name: 'Uses it', triggers: [{ type: 'manual' }], steps })

/** Drafts of before, more than one look reads. */
async function storeMany(shop: Tenant, definition: object): Promise<void> {
  const row = { tenant_id: shop.id, name: 'Other', definition: JSON.stringify(definition) }
  const rows = Array.from({ length: 250 }, () => ({ ...row, id: newId() }))
  await db.insertInto('automation_flows').values(rows).execute()
}

async function createFlow(shop: Tenant, definition: object | string): Promise<string> {
  const made = await shop.post('/api/automation/flows', definition)
  t.equal(made.statusCode, 201, made.body)
  return made.json<{ id: string }>().id
}

function idsIn(answer: { json: () => unknown }): string[] {
  return (answer.json() as { flows: { id: string }[] }).flows.map(({ id }) => id)
}

t.test('a connection is found in use behind however many flows that have its name elsewhere', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', CONNECTION)
  await storeMany(shop, flowOf(ask({ body: { connection: 'http' } })))
  const id = await createFlow(shop, flowOf(ask({ connection: 'http' })))
  const refused = await shop.delete('/api/connections/http')
  t.match(refused.json(), { status: 409, code: 'connection_in_use' })
  t.strictSame(idsIn(refused), [id])
})

t.test('a variable is found in use behind however many flows that have their own', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/variables/limit', { value: 1 })
  await storeMany(shop, { ...flowOf(note('{{variables.limit}}')), variables: { limit: 2 } })
  const id = await createFlow(shop, flowOf(note('{{\nvariables.limit }}')))
  const refused = await shop.delete('/api/variables/limit')
  t.match(refused.json(), { status: 409, code: 'variable_in_use' })
  t.strictSame(idsIn(refused), [id])
})

t.test("an action is found in use behind however many flows that use another plugin's", async (t) => {
  const shop = service.tenant()
  const url = 'http://127.0.0.1:9/hook'
  await shop.post('/api/plugins', { name: 'notes', slug: 'notes', webhook_url: url, events: [] })
  const register = (actions: object[]) => shop.post('/api/plugins/notes/register-actions', { actions })
  await register([{ action_type: 'input', title: 'Input', description: 'Input' }])
  await storeMany(shop, flowOf(note('a', { action_type: 'input', plugin_id: 'others' })))
  const id = await createFlow(shop, flowOf(note('a', { action_type: 'input', plugin_id: 'notes' })))
  const { breaks } = (await register([])).json<{ breaks: { flows: { id: string }[] }[] }>()
  t.strictSame(
    breaks.map(({ flows }) => flows.map((flow) => flow.id)),
    [[id]],
  )
})

t.test('who leaves a field out is found behind however many flows that give it', async (t) => {
  const shop = service.tenant()
  const url = 'http://127.0.0.1:9/hook'
  await shop.post('/api/plugins', { name: 'notes', slug: 'notes', webhook_url: url, events: [] })
  const register = (...required_fields: string[]) => {
    const action = { action_type: 'write', title: 'Write', description: 'Writes', required_fields }
    return shop.post('/api/plugins/notes/register-actions', { actions: [action] })
  }
  await register()
  await storeMany(shop, flowOf(note('a', { action_type: 'write' })))
  const id = await createFlow(shop, flowOf({ ...note('a', { action_type: 'write' }), input: {} }))
  const answer = await register('title')
  t.match(answer.json(), { breaks: [{ missing_fields: ['title'], flows: [{ id }] }] })
})

t.test('as many actions as a plugin may have are looked for, however long their names are', async (t) => {
  const shop = service.tenant()
  const url = 'http://127.0.0.1:9/hook'
  await shop.post('/api/plugins', { name: 'notes', slug: 'notes', webhook_url: url, events: [] })
  const register = (actions: object[]) => shop.post('/api/plugins/notes/register-actions', { actions })
  const names = Array.from({ length: 200 }, (_, index) => `abcd${'-b.c'.repeat(23)}_${index + 100}`)
  t.equal((await register(names.map((name) => ({ action_type: name, title: name })))).statusCode, 200)
  await storeMany(shop, flowOf(note('a', { action_type: 'write' })))
  const id = await createFlow(shop, flowOf(note('a', { action_type: names[199] })))
  t.match((await register([])).json(), { breaks: [{ action_type: names[199], flows: [{ id }] }] })
})

t.test('what is used is found however a definition writes it, and two hundred users at most', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', CONNECTION)
  await shop.put('/api/variables/limit', { value: 1 })
  const text = JSON.stringify(flowOf(ask({ connection: 'http' }), note('{{variables.limit}}')))
  const numbered = text
    .replace('"connection":"http"', String.raw`"\u0063onnection" : "\u0068ttp"`)
    .replace('variables.', String.raw`variable\u0073\u002e`)
  const ids = [await createFlow(shop, numbered)]
  for (const path of ['/api/connections/http', '/api/variables/limit']) {
    t.strictSame(idsIn(await shop.delete(path)), ids, path)
  }
  await storeMany(shop, flowOf(ask({ connection: 'http' })))
  t.equal(idsIn(await shop.delete('/api/connections/http')).length, 200)
})

t.test('who comes to use it until it is deleted keeps it', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', CONNECTION)
  await shop.put('/api/variables/limit', { value: 1 })
  const cases = [
    ['connections', '/api/connections/http', ask({ connection: 'http' })],
    ['shop_variables', '/api/variables/limit', note('{{variables.limit}}')],
  ] as const
  for (const [table, path, step] of cases) {
    const held = new HeldTransaction(db)
    await held.begin((trx) =>
      trx.selectFrom(table).select('name').where('tenant_id', '=', shop.id).forUpdate().execute(),
    )
    const deleting = shop.delete(path)
    await lockWaits(db)
    await createFlow(shop, flowOf(step))
    await held.commitOnceWaitedFor()
    t.match(await deleting, { statusCode: 409 }, path)
    t.equal((await shop.get(path)).statusCode, 200, path)
  }
})
