import t from 'tap'
import { startApp } from '#test/support/app.ts'

const service = await startApp(t)
const { db } = service

t.test('keys are listed by whether they can be used', async (t) => {
  const tenant = service.tenant()
  const make = async (name: string) =>
    (await tenant.post('/api/keys', { name, kind: 'tenant', role: 'viewer' })).json<{ id: string }>().id
  await make('in use')
  const expired = await make('expired')
  await db
    .updateTable('api_keys')
    .set({ expires_at: new Date('2026-01-01T00:00:00Z') })
    .where('id', '=', expired)
    .execute()
  await tenant.delete(`/api/keys/${await make('revoked')}`)
  const list = async (query: string) =>
    (await tenant.get(`/api/keys${query}`)).json<{ data: { name: string }[] }>().data.map(({ name }) => name)
  t.strictSame(await list('?status=active'), ['in use'])
  t.strictSame(await list('?status=revoked'), ['revoked'])
  t.strictSame(await list('?status=expired'), ['expired'])
  t.equal((await list('')).length, 3)
  t.equal((await tenant.get('/api/keys?status=lost')).statusCode, 400)
})
