import { sql } from 'kysely'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import type { CanonicalStep } from '#lib/flow/types.ts'
import {
  flowOf,
  MINUTE_MS,
  outcomes,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  step,
} from '../support.ts'

const world = await startWorld(t)

function set(variables: Record<string, unknown>, next = 'end'): CanonicalStep {
  return step({ type: 'set', config: { variables }, next: { next } })
}

async function runOnce(shop: Shop, flow: ReturnType<typeof flowOf>, data: unknown) {
  const id = await shop.publish(flow)
  await shop.send('order.created', data)
  await shop.run()
  const [execution] = await shop.executions(id)
  return { execution, steps: await shop.steps(execution?.id ?? '') }
}

t.test('nothing but an object’s own members is read or written', async (t) => {
  const shop = await world.shop()
  const variables = JSON.parse(
    '{"__proto__":{"polluted":"{{trigger.name}}"},"constructor":"mine"}',
  ) as Record<string, unknown>
  const seen = set({
    inherited: '{{trigger.constructor.name | default: "none"}}',
    proto: '{{trigger.__proto__.toString | default: "none"}}',
    polluted: '{{variables.polluted | default: "none"}}',
    own: '{{variables.constructor}}',
  })
  const { execution, steps } = await runOnce(shop, flowOf({ evil: set(variables, 'seen'), seen }), {
    name: 'x',
  })
  t.match(execution, { status: 'completed', reason: 'done' })
  t.match(steps[1]?.output, { inherited: 'none', proto: 'none', polluted: 'none', own: 'mine' })
  t.notOk(Reflect.has({}, 'polluted'))
})

t.test('templates in an event’s data are text, whatever steps they pass through', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const { steps } = await runOnce(
    shop,
    flowOf({
      keep: set({ name: '{{trigger.name}}' }, 'call'),
      call: post(receiver, '/', 'again', { body: { name: '{{variables.name}}' } }),
      again: set({ name: '{{steps.keep.output.name}}' }),
    }),
    { name: '{{tenant.id}}' },
  )
  t.strictSame(JSON.parse(receiver.received[0]?.body ?? ''), { name: '{{tenant.id}}' })
  t.strictSame(steps.at(-1)?.output, { name: '{{tenant.id}}' })
})

t.test('data cannot take a request to another host, nor add headers to it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const call = (url: string, headers: Record<string, string> = {}) =>
    flowOf({
      call: step({
        type: 'http',
        config: { method: 'GET', url, headers, body: null },
        next: { success: 'end' },
        retry: { max_retries: 0, base_ms: 1_000, cap_ms: 1_000 },
      }),
    })
  const away = await runOnce(shop, call(`${receiver.url}{{trigger.path}}`), { path: '@evil.example/' })
  t.match(away.execution, { status: 'failed', error: { step_id: 'call', code: 'blocked' } })
  const headers = { 'x-name': '{{trigger.name}}' }
  const split = await runOnce(shop, call(`${receiver.url}/`, headers), { name: 'a\r\nx-evil: 1' })
  t.match(split.execution, { status: 'failed', error: { step_id: 'call' } })
  t.not((split.execution?.error as { code: string } | null)?.code, 'internal_error')
  t.notOk(receiver.received.some(({ headers }) => 'x-evil' in headers))
})

t.test('what grows beyond all bounds fails its step and nothing else', async (t) => {
  const shop = await world.shop()
  const doubled = '{{trigger.text}}{{trigger.text}}'
  const grown = await runOnce(shop, flowOf({ grow: set({ text: doubled }) }), { text: 'x'.repeat(200_000) })
  t.match(grown.execution, { status: 'failed', error: { step_id: 'grow', code: 'template_error' } })
})

t.test('a pattern that others would choke on holds nobody up', async (t) => {
  const shop = await world.shop()
  const condition = { field: 'trigger.text', operator: 'matches', value: '^(a+)+$' }
  const test = step({ type: 'condition', config: { condition }, next: { true: 'end', false: 'end' } })
  const spent = cpuTimer()
  const { execution } = await runOnce(shop, flowOf({ test }), { text: `${'a'.repeat(8_000)}!` })
  t.match(execution, { status: 'completed', reason: 'filtered' })
  t.ok(spent() < 10_000)
})

t.test('delays that come out as nonsense fail their step', async (t) => {
  const shop = await world.shop()
  const duration = (text: string): CanonicalStep =>
    step({
      type: 'delay',
      config: { kind: 'duration', duration: text, duration_ms: null },
      next: { next: 'end' },
    })
  const until = (text: string): CanonicalStep =>
    step({
      type: 'delay',
      config: { kind: 'until', until: text, offset_ms: 0, if_past: 'run_now' },
      next: { next: 'end' },
    })
  for (const value of ['-3 days', '1e9 days', '999999999999 weeks', 'soon', '', 'P1Y']) {
    const { execution } = await runOnce(shop, flowOf({ later: duration('{{trigger.value}}') }), { value })
    t.match(execution, { status: 'failed', error: { code: 'invalid_duration' } }, JSON.stringify(value))
  }
  for (const value of ['2030-02-30', 'tomorrow', '', 'NaN']) {
    const { execution } = await runOnce(shop, flowOf({ later: until('{{trigger.value}}') }), { value })
    t.match(execution, { status: 'failed', error: { code: 'invalid_time' } }, JSON.stringify(value))
  }
  const far = await runOnce(shop, flowOf({ later: until('{{trigger.value}}') }), { value: '9999-12-31' })
  t.match(outcomes(far.execution === undefined ? [] : [far.execution]), ['waiting/delay'])
  t.ok(
    (far.execution?.due_at ?? new Date(8.64e15)) <= (far.execution?.expires_at ?? 0),
    'no later than its lifetime',
  )
})

t.test('five hundred steps are one execution like any other', async (t) => {
  const shop = await world.shop()
  const steps = Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [
      `set_${index}`,
      set({ last: index }, index === 499 ? 'end' : `set_${index + 1}`),
    ]),
  )
  const { execution, steps: done } = await runOnce(shop, flowOf(steps), {})
  t.match(execution, { status: 'completed', reason: 'done', step_count: 500 })
  t.equal(done.length, 500)
  t.strictSame(done.at(-1)?.output, { last: 499 })
})

t.test('what the database refuses of one execution fails that one alone', async (t) => {
  const shop = await world.shop()
  await sql`alter table automation_steps add constraint refused check (step_id <> 'refused')`.execute(
    world.db,
  )
  t.teardown(() => sql`alter table automation_steps drop constraint refused`.execute(world.db))
  await shop.publish(flowOf({ first: set({ a: 1 }) }))
  const refused = await shop.publish(flowOf({ refused: set({ a: 1 }) }))
  await shop.publish(flowOf({ last: set({ a: 1 }) }))
  await shop.send('order.created', {})
  await shop.run()
  const executions = await shop.executions()
  t.equal(executions.length, 3)
  for (const execution of executions) {
    const failed = { status: 'failed', reason: 'internal_error', error: { code: 'internal_error' } }
    t.match(execution, execution.flow_id === refused ? failed : { status: 'completed', error: null })
  }
})

t.test(
  'a step that was done stands in the log, though the statement that was to say so failed',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    const flow = await shop.publish(flowOf({ one: post(receiver, '/', 'two'), two: set({ a: 1 }) }))
    await sql`create sequence refusals`.execute(world.db)
    await sql`
    create function refuse_once() returns trigger language plpgsql as $$
    begin
      if new.step_id = 'one' and nextval('refusals') = 1 then
        raise exception 'once' using errcode = '22023';
      end if;
      return new;
    end $$`.execute(world.db)
    await sql`create trigger refuse_once before insert on automation_steps
    for each row execute function refuse_once()`.execute(world.db)
    t.teardown(() => sql`drop trigger refuse_once on automation_steps`.execute(world.db))
    await shop.send('order.created', {})
    await shop.run()
    const [execution] = await shop.executions(flow)
    t.match(execution, { status: 'failed', reason: 'internal_error', error: { code: 'internal_error' } })
    t.match(await shop.steps(execution?.id ?? ''), [{ step_id: 'one', status: 'succeeded' }])
  },
)

t.test('an error that passes fails no execution, and its log lacks nothing', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ full: post(receiver, '/', 'two'), two: set({ a: 1 }) }))
  await sql`create sequence full_disks`.execute(world.db)
  await sql`
    create function refuse_full() returns trigger language plpgsql as $$
    begin
      if new.step_id = 'full' and nextval('full_disks') <= 3 then
        raise exception 'no space left' using errcode = '53100';
      end if;
      return new;
    end $$`.execute(world.db)
  await sql`create trigger refuse_full before insert on automation_steps
    for each row execute function refuse_full()`.execute(world.db)
  t.teardown(() => sql`drop trigger refuse_full on automation_steps`.execute(world.db))
  await shop.send('order.created', {})
  for (let tries = 0; tries < 10; tries++) {
    await shop.run()
    shop.pass(MINUTE_MS)
  }
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done', error: null })
  t.match(await shop.steps(execution?.id ?? ''), [
    { step_id: 'full', status: 'succeeded' },
    { step_id: 'two', status: 'succeeded' },
  ])
  const keys = receiver.received.map(({ headers }) => headers['idempotency-key'])
  t.equal(new Set(keys).size, 1, 'a call that is repeated is the same one')
})

t.test('a path that no index can hold keeps its own flow from starting, and no other', async (t) => {
  const shop = await world.shop()
  const path = Array.from({ length: 990 }, (_, n) =>
    String.fromCodePoint(0x4e00 + ((n * 7_919) % 20_000)),
  ).join('')
  const cancel_on = [{ event: 'order.paid', match: { [path]: '{{trigger.order_id}}' }, filter: null }]
  const enrolment = { enrolment: { cancel_on } }
  const wide = await shop.publish(flowOf({ first: set({ a: 1 }) }, { settings: settings(enrolment) }))
  const plain = await shop.publish(flowOf({ first: set({ a: 1 }) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(wide)), ['skipped/match_too_large'])
  t.strictSame(outcomes(await shop.executions(plain)), ['completed/done'])
})

t.test('a pattern that is tested on a list has one budget for all of it', async (t) => {
  const shop = await world.shop()
  const item = { field: 'item', operator: 'matches', value: '(x+x+)+y' }
  const condition = { field: 'trigger.texts', operator: 'any', value: item }
  const flow = flowOf({
    check: step({ type: 'condition', config: { condition }, next: { true: 'end', false: 'end' } }),
  })
  const { execution, steps } = await runOnce(shop, flow, { texts: Array(9_000).fill('x'.repeat(80)) })
  t.match(execution, { status: 'completed', reason: 'filtered' })
  t.match(steps, [{ port: 'false', note: /costs too much work/ }])
})
