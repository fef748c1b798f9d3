import t from 'tap'
import { clientFor, startApp } from '#test/support/app.ts'

const service = await startApp(t)

t.test('a variable is set, read, listed and deleted, with its type', async (t) => {
  const shop = service.tenant()
  const made = await shop.put('/api/variables/support_email', {
    value: 'help@shop.example',
    description: 'Where customers write to',
  })
  t.equal(made.statusCode, 201, made.body)
  t.equal(made.headers.location, '/api/variables/support_email')
  const changed = await shop.put('/api/variables/support_email', { value: 'hello@shop.example' })
  t.equal(changed.statusCode, 200)
  t.match(changed.json(), {
    name: 'support_email',
    value: 'hello@shop.example',
    type: 'text',
    description: 'Where customers write to',
  })
  t.equal((await shop.put('/api/variables/VAT', '{"value":1.230}')).statusCode, 201)
  await shop.put('/api/variables/holidays', { value: ['2026-12-25'] })
  await shop.put('/api/variables/is_open', { value: false })
  await shop.put('/api/variables/address', { value: { city: 'Porto' } })
  const list = await shop.get('/api/variables')
  t.match(list.body, /"value":1\.230,/, 'a number keeps its text')
  t.strictSame(
    list
      .json<{ data: { name: string; type: string }[] }>()
      .data.map(({ name, type }) => `${name} ${type}`)
      .sort(),
    ['VAT number', 'address object', 'holidays list', 'is_open boolean', 'support_email text'],
  )
  const page = (await shop.get('/api/variables?limit=4')).json<{ data: object[]; next_cursor: string }>()
  t.equal(page.data.length, 4)
  const last = await shop.get(`/api/variables?limit=4&cursor=${page.next_cursor}`)
  t.match(last.json(), { data: [{}], next_cursor: null })
  t.equal((await shop.delete('/api/variables/VAT')).statusCode, 204)
  for (const answer of [await shop.get('/api/variables/VAT'), await shop.delete('/api/variables/VAT')]) {
    t.match(answer.json(), { status: 404, code: 'variable_not_found' })
  }
  const log = await shop.get('/api/audit-log?limit=1')
  t.match(log.json(), { data: [{ action: 'variable.deleted', target_id: 'VAT' }] })
})

t.test('a value that looks like a key says where it belongs', async (t) => {
  const shop = service.tenant()
  for (const [name, value, warning] of [
    ['api_key', 'abcdefgh', /connection/],
    ['names', { of: ['sk_live_4242424242424242'] }, /connection/],
    ['greeting', 'Hello there', null],
    ['token', 'none', null],
  ] as const) {
    t.match((await shop.put(`/api/variables/${name}`, { value })).json(), { name, value, warning }, name)
    t.match((await shop.get(`/api/variables/${name}`)).json(), { warning }, name)
  }
})

t.test('what cannot be a variable is refused, with the reason', async (t) => {
  const shop = service.tenant()
  const cases: [name: string, body: unknown, pointer: string, detail: RegExp][] = [
    ['a', {}, '/value', /required/],
    ['a', { value: null }, '/value', /delete the variable/],
    ['a', { value: 'x'.repeat(8_191) }, '/value', /at most 8192 bytes of JSON, and has 8193/],
    ['a', { value: 1, secret: true }, '/secret', /./],
    ['1a', { value: 1 }, '/params/name', /./],
    ['a-b', { value: 1 }, '/params/name', /./],
    ['a'.repeat(65), { value: 1 }, '/params/name', /./],
  ]
  for (const [name, body, pointer, detail] of cases) {
    const answer = await shop.put(`/api/variables/${name}`, body)
    t.match(answer.json(), { status: 400, errors: [{ pointer, detail }] }, answer.body)
  }
  t.equal((await shop.put('/api/variables/a', { value: 'x'.repeat(8_190) })).statusCode, 201)
})

t.test('their number and their size are quotas', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/tenant/quotas', { variables: 1, variable_bytes: 100 })
  t.equal((await shop.put('/api/variables/a', { value: 1 })).statusCode, 201)
  t.match((await shop.put('/api/variables/b', { value: 1 })).json(), { status: 422, quota: 'variables' })
  const large = await shop.put('/api/variables/a', { value: 'x'.repeat(99) })
  t.match(large.json(), { status: 422, quota: 'variable_bytes', used: 101 })
  t.match((await shop.get('/api/variables/a')).json(), { value: 1 })
})

t.test('editors set them, viewers read them', async (t) => {
  const shop = service.tenant()
  const clientOf = async (role: string) => {
    const made = await shop.post('/api/keys', { name: role, kind: 'tenant', role })
    return clientFor(service.app, shop.id, made.json<{ key: string }>().key)
  }
  const [editor, viewer] = [await clientOf('editor'), await clientOf('viewer')]
  t.equal((await viewer.put('/api/variables/a', { value: 1 })).statusCode, 403)
  t.equal((await editor.put('/api/variables/a', { value: 1 })).statusCode, 201)
  t.equal((await viewer.get('/api/variables/a')).statusCode, 200)
  t.equal((await viewer.delete('/api/variables/a')).statusCode, 403)
})

t.test('one that flows read is deleted by force alone', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/variables/limit', { value: 100 })
  const flow = (name: string, rest: object) =>
    shop.post('/api/automation/flows', { name, triggers: [{ type: 'manual' }], ...rest })
  const note = (title: string) => ({
    id: 'note',
    type: 'action',
    action_type: 'create_task',
    input: { title },
  })
  const reader = await flow('Reads it', { steps: [note('{{variables.limit}}')] })
  await flow('Has its own', { variables: { limit: 7 }, steps: [note('{{variables.limit}}')] })
  await flow('Reads another', { steps: [note('{{variables.limited | default: 1}}')] })
  const refused = await shop.delete('/api/variables/limit')
  t.match(refused.json(), { status: 409, code: 'variable_in_use' })
  t.strictSame(refused.json<{ flows: unknown }>().flows, [
    { id: reader.json<{ id: string }>().id, name: 'Reads it', status: 'draft' },
  ])
  t.equal((await shop.delete('/api/variables/limit?force=true')).statusCode, 204)
})
