import { sql } from 'kysely'
import t from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { startService } from '#test/support/service-process.ts'
import { LoadedBytes } from '#modules/flow-engine/run/loaded-bytes.ts'
import { flowOf, HOUR_MS, outcomes, post, startReceiver, startWorld, wait } from '../support.ts'

const EXECUTIONS = 200
const OUTPUTS = 10
const OUTPUT_CHARS = 200_000
/** All of it is 400 MB. */
const HEAP_MB = 256

t.test('executions whose outputs are larger than the heap together go on, each once', async (t) => {
  const world = await startWorld(t)
  const receiver = await startReceiver(t)
  const shop = await world.shop()
  const steps = Array.from({ length: OUTPUTS }, (_, n) => `read_${n}`)
  const reading = steps.map((id, n) => [id, post(receiver, '/read', steps[n + 1] ?? 'later')] as const)
  const last = post(receiver, '/last', 'end', {
    body: '{{execution.id}} {{steps.read_9.output.status}}',
  })
  const flow = await shop.publish(
    flowOf({ ...Object.fromEntries(reading), later: wait(HOUR_MS, 'last'), last }),
  )
  await shop.send('order.created', {})
  await shop.run()
  const [first] = await shop.executions(flow)
  // As many as are due at once after an hour, each with what its steps were answered.
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, trigger_kind,
      trigger, state, step_count, due_at, expires_at, started_at)
    select tenant_id, gen_random_uuid(), flow_id, version, schema_version, status, reason, 'manual', trigger, state, step_count,
      now() + interval '1 hour', expires_at, started_at
    from automation_executions, generate_series(2, ${EXECUTIONS}) where id = ${first?.id}`.execute(world.db)
  await sql`
    insert into automation_steps (tenant_id, execution_id, number, step_id, type, status, port, output, started_at, duration_ms)
    select e.tenant_id, e.id, s.number, s.step_id, s.type, s.status, s.port, s.output, s.started_at, s.duration_ms
    from automation_steps s, automation_executions e
    where s.execution_id = ${first?.id} and e.flow_id = ${flow} and e.id <> s.execution_id`.execute(world.db)
  await sql`
    update automation_steps set output = json_build_object('status', 200, 'body', repeat('x', ${OUTPUT_CHARS}))
    where step_id like 'read_%' and tenant_id = ${shop.tenant.id}`.execute(world.db)
  await sql`
    update automation_executions set state = regexp_replace(state::text, '"due_at":[0-9]+', '"due_at":1')::json, due_at = now()
    where flow_id = ${flow}`.execute(world.db)
  receiver.received.length = 0
  const service = await startService(t, {
    databaseUrl: world.databaseUrl,
    env: { ROLES: 'api,worker', NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
  })
  let ended = false
  void service.exited.then(() => (ended = true))
  await eventually(
    'all have ended',
    async () => {
      if (ended) throw new Error(`the process has ended:\n${service.log.slice(-20).join('\n')}`)
      return (await shop.executions(flow)).every(({ status }) => status === 'completed')
    },
    300_000,
  )
  t.strictSame([...new Set(outcomes(await shop.executions(flow)))], ['completed/done'])
  const calls = receiver.received.map(({ body }) => body)
  t.equal(calls.length, EXECUTIONS)
  t.equal(new Set(calls).size, EXECUTIONS, 'one of each')
})

t.test('what executions have loaded is shared out among tenants', async (t) => {
  const loaded = new LoadedBytes(100)
  for (let n = 0; n < 8; n++) t.equal(await loaded.take('a', 10), true)
  const order: string[] = []
  const later = (tenantId: string): Promise<unknown> =>
    loaded.take(tenantId, 10).then((isGiven) => order.push(`${tenantId} ${isGiven}`))
  const waiting = [later('a'), later('a')]
  t.equal(await loaded.take('b', 10), true, 'a fifth is left to others')
  t.equal(await loaded.take('b', 10), true)
  waiting.push(later('b'), later('c'))
  t.strictSame(order, [])
  loaded.leave('a', 10)
  await waiting[2]
  t.strictSame(order, ['b true'], 'who has less goes first')
  loaded.leave('a', 10)
  await waiting[3]
  loaded.add('a', 10)
  t.ok(loaded.isBeyond('a', 10), 'it would not get again what it has come to')
  loaded.close()
  await Promise.all(waiting)
  t.strictSame(order, ['b true', 'c true', 'a false', 'a false'])
  t.equal(await loaded.take('d', 1), false)
})

t.test('one that is larger than all of it is taken alone', async (t) => {
  const loaded = new LoadedBytes(100)
  t.equal(await loaded.take('a', 500), true)
  t.notOk(loaded.isBeyond('a', 500), 'nobody else has anything')
  const next = loaded.take('b', 1)
  loaded.leave('a', 500)
  t.equal(await next, true)
})
