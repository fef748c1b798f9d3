import pg from 'pg'
import t, { type Test } from 'tap'
import { newId } from '#lib/ids.ts'
import { type FeedKey, scanFeed } from '#modules/event/feed/repository.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'

const START: FeedKey = { position: '-1', id: '00000000-0000-0000-0000-000000000000' }

/** A connection that writes events, remembering what its commits made durable. */
class Writer {
  readonly client: pg.Client
  readonly #committed: Set<string>
  readonly #tenantId: string
  /** Of the open transaction, one list for each savepoint; null: none is open. */
  #open: string[][] | null = null

  constructor(client: pg.Client, tenantId: string, committed: Set<string>) {
    this.client = client
    this.#tenantId = tenantId
    this.#committed = committed
  }

  get isOpen(): boolean {
    return this.#open !== null
  }

  async step(kind: number): Promise<void> {
    if (this.#open === null) {
      await this.client.query('begin')
      this.#open = [[]]
    } else if (kind < 0.35) await this.#emit()
    else if (kind < 0.5) await this.client.query('insert into notes values (1)')
    else if (kind < 0.6) {
      await this.client.query(`savepoint s${this.#open.length}`)
      this.#open.push([])
    } else if (kind < 0.7 && this.#open.length > 1) {
      this.#open.pop()
      await this.client.query(`rollback to savepoint s${this.#open.length}`)
      await this.client.query(`release savepoint s${this.#open.length}`)
    } else await this.end(kind < 0.9)
  }

  async end(commits: boolean): Promise<void> {
    const ids = this.#open?.flat() ?? []
    this.#open = null
    await this.client.query(commits ? 'commit' : 'rollback')
    if (commits) for (const id of ids) this.#committed.add(id)
  }

  async #emit(): Promise<void> {
    const id = newId()
    await insertEvent(this.client, this.#tenantId, id)
    this.#open?.at(-1)?.push(id)
  }
}

/** Goes through the feed as any reader does, a few events at a time. */
class Reader {
  readonly seen: string[] = []
  #after = START

  async page({ db }: TestDatabase, tenantId: string, limit: number): Promise<void> {
    const { horizon, events } = await scanFeed(db, tenantId, { after: this.#after, limit })
    this.seen.push(...events.map(({ id }) => id))
    const last = events.at(-1)
    if (events.length === limit && last !== undefined) this.#after = last
    else if (BigInt(horizon) > BigInt(this.#after.position)) this.#after = { ...START, position: horizon }
  }
}

async function insertEvent(client: pg.Client, tenantId: string, id: string): Promise<void> {
  await client.query(
    `insert into events (tenant_id, id, fingerprint, event, source, occurred_at, body)
     values ($1, $2, '', 'a.b', 'api', now(), '{}')`,
    [tenantId, id],
  )
}

async function connect(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

async function setUp(t: Test, count: number) {
  const database = await createTestDatabase(t)
  await database.pool.query('create table notes (n int)')
  const tenantId = crypto.randomUUID()
  const committed = new Set<string>()
  const writers = await Promise.all(
    Array.from(
      { length: count },
      async () => new Writer(await connect(t, database.url), tenantId, committed),
    ),
  )
  return { database, tenantId, committed, writers }
}

/** Numbers from 0 to 1 that are the same in each run (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function readAll(
  t: Test,
  { database, tenantId, committed }: Awaited<ReturnType<typeof setUp>>,
  readers: readonly Reader[],
): Promise<void> {
  for (const [index, reader] of readers.entries()) {
    await eventually('the reader has caught up', async () => {
      await reader.page(database, tenantId, 50)
      return reader.seen.length >= committed.size
    })
    t.equal(new Set(reader.seen).size, reader.seen.length, `reader ${index} saw nothing twice`)
    t.strictSame(new Set(reader.seen), committed, `reader ${index} missed nothing`)
  }
}

t.test('no order of interleaved transactions lets a reader miss or repeat an event', async (t) => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const setting = await setUp(t, 5)
    const { database, tenantId, committed, writers } = setting
    const random = randomFrom(seed)
    const reader = new Reader()
    for (let step = 0; step < 300; step++) {
      await writers[Math.floor(random() * writers.length)]?.step(random())
      if (random() < 0.5) await reader.page(database, tenantId, 1 + Math.floor(random() * 4))
    }
    for (const writer of writers) if (writer.isOpen) await writer.end(random() < 0.5)
    t.ok(committed.size > 20, `seed ${seed}: ${committed.size} events`)
    await readAll(t, setting, [reader, new Reader()])
  }
})

t.test('readers that run beside writers miss and repeat nothing either', async (t) => {
  const setting = await setUp(t, 6)
  const { database, tenantId, committed, writers } = setting
  const readers = [new Reader(), new Reader(), new Reader()]
  let writing = true
  const reading = readers.map(async (reader, index) => {
    while (writing) await reader.page(database, tenantId, 3 + 20 * index)
  })
  await Promise.all(
    writers.map(async (writer, index) => {
      const random = randomFrom(index)
      for (let step = 0; step < 1_500; step++) await writer.step(random())
      if (writer.isOpen) await writer.end(true)
    }),
  )
  writing = false
  await Promise.all(reading)
  t.ok(committed.size > 500, `${committed.size} events`)
  await readAll(t, setting, readers)
})

t.test('a transaction that wrote something else first stands behind what was read meanwhile', async (t) => {
  const { database, tenantId, committed } = await setUp(t, 0)
  const [early, late] = [await connect(t, database.url), await connect(t, database.url)]
  await early.query('begin; insert into notes values (1)')
  const reader = new Reader()
  for (let n = 0; n < 3; n++) {
    const id = newId()
    await insertEvent(late, tenantId, id)
    committed.add(id)
  }
  await reader.page(database, tenantId, 10)
  t.strictSame(reader.seen, [...committed], 'an open transaction that wrote no event holds nobody back')
  const own = [newId(), newId()]
  for (const id of own) await insertEvent(early, tenantId, id)
  const later = newId()
  await insertEvent(late, tenantId, later)
  await reader.page(database, tenantId, 10)
  t.equal(reader.seen.length, 3, 'from its first event on it does')
  await early.query('commit')
  await reader.page(database, tenantId, 10)
  t.strictSame(reader.seen.slice(3), [...own, later])
  const { rows } = await database.pool.query<{ positions: number }>(
    'select count(distinct position)::int as positions from events where id = any($1)',
    [own],
  )
  t.strictSame(rows, [{ positions: 1 }], 'the events of a transaction stand at one place')
})

t.test('an open write transaction in another database holds no reader back', async (t) => {
  const other = await createTestDatabase(t)
  const { database, tenantId } = await setUp(t, 0)
  const stranger = await connect(t, other.url)
  await stranger.query('begin; create table held (n int)')
  const writer = await connect(t, database.url)
  const reader = new Reader()
  const ids = [newId(), newId()]
  for (const id of ids) {
    await insertEvent(writer, tenantId, id)
    await reader.page(database, tenantId, 10)
  }
  t.strictSame(reader.seen, ids)
})
