import { sql } from 'kysely'
import { pino } from 'pino'
import t from 'tap'
import { insertSeenTypes, type SeenType } from '#modules/event/types/seen-repository.ts'
import { appOn, until } from '#test/infra/app-on.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { lockWaits } from '#test/support/locks.ts'

const NAMES = Array.from({ length: 40 }, (_, index) => `shop.visit_${index}`)
const ROUNDS = 12
const LIMIT = 200

function typesOf(tenantId: string, names: readonly string[], by: string): SeenType[] {
  return names.map((name) => ({ tenant_id: tenantId, name, sample: { by }, plugin_id: null }))
}

t.test('of two connections that write the same types one waits, and both come through', async (t) => {
  const { db } = await createTestDatabase(t)
  const tenantId = crypto.randomUUID()
  await sql`insert into tenants (id) values (${tenantId})`.execute(db)
  const sample = async () =>
    (await db.selectFrom('seen_event_types').select(['name', 'sample']).orderBy('name').execute()).map(
      ({ name, sample }) => [name, sample],
    )
  let second: Promise<void> = Promise.resolve()
  await db.transaction().execute(async (trx) => {
    await insertSeenTypes(trx, typesOf(tenantId, NAMES.slice(10, 30), 'first'), LIMIT)
    second = insertSeenTypes(db, typesOf(tenantId, NAMES.toReversed(), 'second'), LIMIT)
    await lockWaits(db)
  })
  await second
  const inOrder = NAMES.toSorted()
  const firsts = new Set(NAMES.slice(10, 30))
  t.same(
    await sample(),
    inOrder.map((name) => [name, { by: firsts.has(name) ? 'first' : 'second' }]),
  )
})

t.test('two processes that see the same types at once, in any order, lose none', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const complaints: string[] = []
  const logger = pino({ level: 'warn' }, { write: (line: string) => void complaints.push(line) })
  const processes = [await appOn(t, url, { logger }), await appOn(t, url, { logger })]
  for (let round = 0; round < ROUNDS; round++) {
    const tenantId = crypto.randomUUID()
    const orders = [NAMES, NAMES.toReversed()]
    const answers = await Promise.all(
      processes.map((app, index) => {
        const events = (orders[index] ?? []).map((event) => ({ event, data: { by: index } }))
        return clientFor(app, tenantId, TEST_PLATFORM_KEY).post('/api/events', { events })
      }),
    )
    for (const answer of answers) t.match(answer.json(), { summary: { accepted: NAMES.length } })
    const seen = await until(
      () => db.selectFrom('seen_event_types').select('name').where('tenant_id', '=', tenantId).execute(),
      (rows) => rows.length === NAMES.length,
    )
    t.same(seen.map(({ name }) => name).sort(), NAMES.toSorted())
  }
  t.same(complaints, [], 'no statement failed')
})
