import type { Kysely } from 'kysely'
import t from 'tap'
import { setTimeout as wait } from 'node:timers/promises'
import type { DB } from '#db/schema.ts'
import type { CanonicalFlow, CanonicalStep } from '#lib/flow/types.ts'
import { flowOf, MINUTE_MS, publishFlow, step, wait as pause } from '#test/modules/flow-engine/support.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type Counterpart, startCounterpart } from './flow-counterpart.ts'
import { ProcessPair } from './process-pair.ts'

/**
 * Two processes work on one database while one of them at a time is killed, at random moments of the work. In full:
 *
 *     FLOW_KILL_EXECUTIONS=2000 FLOW_KILL_KILLS=50 npx tap --disable-coverage test/fault/flow-kill.test.ts
 *
 * which takes some minutes on two busy cores.
 *
 * Meanwhile the shop is halted and resumed over and over, and a second flow, of one call, is switched off and on with
 * `catch_up`: of both flows every order runs once.
 */
const EXECUTIONS = Number(process.env['FLOW_KILL_EXECUTIONS'] ?? 400)
const KILLS = Number(process.env['FLOW_KILL_KILLS'] ?? 12)
const LEASE_MS = 4_000
/** Steps of an execution that call somebody; one of them is refused at first. */
const CALLS_EACH = 8
/** And the call of the second flow. */
const REQUESTS_EACH = CALLS_EACH + 2
const PATIENCE_MS = 600_000

t.setTimeout(2 * PATIENCE_MS)

t.test(
  `${EXECUTIONS} executions with waits, retries, loops, actions and pauses through ${KILLS} kills: all end, none does a thing twice`,
  async (t) => {
    const database = await createTestDatabase(t)
    const pair = new ProcessPair(t, {
      databaseUrl: database.url,
      env: { LEASE_MS: String(LEASE_MS), FLOW_MAX_STARTS_PER_MINUTE: '100000' },
    })
    const counterpart = await startCounterpart(t, () => pair.live?.url ?? null)
    await pair.start()
    const tenantId = crypto.randomUUID()
    await register(pair, tenantId, counterpart.url)
    const flow = await publishFlow(database.db, tenantId, theFlow(counterpart.url))

    const told = await createTelling(pair, tenantId, counterpart.url)

    const sent = sendOrders(pair, tenantId)
    const pauses = pauseOverAndOver(pair, tenantId, told)
    for (let kill = 1; kill <= KILLS; kill++) {
      // At a random moment of each part of the work, measured by the calls that have come.
      const moment = ((kill - 1 + Math.random()) * EXECUTIONS * REQUESTS_EACH) / (KILLS + 1)
      await eventually('the moment of the kill', () => counterpart.total() >= moment, PATIENCE_MS)
      await pair.killOne()
    }
    await sent
    const caughtUp = await pauses.end([flow, told])
    t.ok(
      pauses.rounds() > 0 && caughtUp > 0,
      `${pauses.rounds()} pauses, after which ${caughtUp} were taken up`,
    )
    for (const each of [flow, told]) {
      await eventually(
        'every execution has ended',
        async () => {
          const { completed = 0, failed = 0, timed_out = 0 } = await countStatuses(database.db, each)
          return completed + failed + timed_out >= EXECUTIONS
        },
        PATIENCE_MS,
      )
    }
    await counterpart.completed()
    t.strictSame(await selectFailures(database.db, flow), [], 'none failed')
    t.strictSame(await countStatuses(database.db, flow), { completed: EXECUTIONS }, 'nothing stays behind')
    t.strictSame(await selectFailures(database.db, told), [], 'nor of what was switched off and on')
    t.strictSame(await countStatuses(database.db, told), { completed: EXECUTIONS })
    const tellings = [...counterpart.calls.values()].filter(({ path }) => path === TELL)
    t.strictSame(
      tellings.map(({ body }) => (JSON.parse(body) as { number: number }).number).sort((a, b) => a - b),
      Array.from({ length: EXECUTIONS }, (_, number) => number),
      'each order was told under one key',
    )
    t.strictSame(
      await leftovers(database.db, tenantId),
      { waits: 0, accepted: 0 },
      'nor of what it waited for',
    )

    const steps = await selectSteps(database.db, flow)
    const names = new Set(steps.map(({ execution_id, name }) => `${execution_id}:${name}`))
    t.equal(names.size, steps.length, 'each step stands once in the log')
    t.strictSame(new Set(steps.map(({ status }) => status)), new Set(['succeeded']), 'each one succeeded')
    const calls = steps.filter(({ type }) => type === 'http' || type === 'action')
    t.equal(calls.length, EXECUTIONS * CALLS_EACH, 'none was left out')
    t.equal(
      counterpart.calls.size - tellings.length,
      calls.length,
      'a repeated call carries the same Idempotency-Key',
    )
    t.strictSame(counterpart.faults, [], 'and the same body')
    const wrong = calls.filter(({ execution_id, name, output }) => {
      const key = `${execution_id}:${name}`
      return !isOutcome(key, counterpart.calls.get(key), output)
    })
    t.strictSame(wrong, [], 'the answer that completed a step is the last one that was given under its key')
    t.strictSame(unexplained(counterpart, pair.kills), [], 'a call is repeated only after a kill')
    const requests = [...counterpart.calls.values()]
    const extra = requests.reduce((sum, { at, refused }) => sum + at.length - refused - 1, 0)
    t.comment(`${counterpart.total()} requests, ${extra} of them repeated, ${KILLS} kills`)
  },
)

function theFlow(url: string): CanonicalFlow {
  const retry = { max_retries: 5, base_ms: 100, cap_ms: 1_000 }
  const rest = { retry, timeout_ms: 60_000 }
  const http = (path: string, to: string, loop: string | null = null): CanonicalStep => {
    const body = { at: '{{now}}', item: loop === null ? null : '{{item}}', before: BEFORE[path] ?? null }
    return step({
      type: 'http',
      config: { method: 'POST', url: url + path, headers: {}, body },
      next: { success: to },
      loop,
      ...rest,
    })
  }
  const action = (action_type: string, before: string, to: string): CanonicalStep => {
    const input = { at: '{{now}}', number: '{{trigger.number}}', before: `{{steps.${before}.output}}` }
    return step({
      type: 'action',
      config: { action_type, plugin_id: 'counterpart', input },
      next: { success: to },
      ...rest,
    })
  }
  const paid = { event: 'order.paid', match: { number: '{{trigger.number}}' }, filter: null }
  return flowOf({
    before: http('/before', 'pause'),
    pause: pause(200, 'paid'),
    paid: step({
      type: 'wait_event',
      config: { any: [paid], timeout_ms: 60 * MINUTE_MS, look_back_ms: 60 * MINUTE_MS },
      next: { received: 'loop', timeout: 'late' },
    }),
    late: step({ type: 'stop', config: { outcome: 'failed', reason: 'no event came' }, next: {} }),
    loop: step({
      type: 'for_each',
      config: { list: [1, 2, 3], body: 'item', max_items: 10, concurrency: 2 },
      next: { done: 'unsure' },
    }),
    item: http('/item', 'rest', 'loop'),
    rest: pause(200, 'end', 'loop'),
    unsure: http('/unsure', 'stamp'),
    stamp: action('stamp', 'unsure', 'deliver'),
    deliver: action('deliver', 'stamp', 'last'),
    last: http('/last', 'end'),
  })
}

/** The data of earlier steps in a call's body: read back from the database when another process takes over. */
const BEFORE: Record<string, string> = {
  '/unsure': '{{steps.paid.output}}',
  '/last': '{{steps.deliver.output}}',
}

const TELL = '/tell'

/** Creates the flow that is switched off and on. */
async function createTelling(pair: ProcessPair, tenantId: string, url: string): Promise<string> {
  const body = {
    name: 'Tell',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [
      {
        id: 'tell',
        type: 'http',
        method: 'POST',
        url: url + TELL,
        body: { number: '{{trigger.number}}' },
        retry: { max_retries: 5 },
      },
    ],
  }
  const response = await pair.live?.request('POST', '/api/automation/flows', { tenantId, body })
  const text = await response?.text()
  if (response?.status !== 201) throw new Error(text)
  return (JSON.parse(text ?? '') as { id: string }).id
}

/** What is asked for and lost with its process is asked for again. */
async function ask(
  pair: ProcessPair,
  tenantId: string,
  path: string,
  body: object = {},
): Promise<Record<string, number>> {
  for (;;) {
    const response = await pair.live?.request('POST', path, { tenantId, body }).catch(() => null)
    const text = await response?.text().catch(() => null)
    if (response?.status === 200 && text != null) return JSON.parse(text) as Record<string, number>
    if (response != null && response.status >= 400 && response.status < 500)
      throw new Error(`${path}: ${text}`)
    await wait(50)
  }
}

const PAUSE_MS = 400

/** Switches the flow off and on, and halts the shop and resumes it, in turns; what that made wait is taken up. */
function pauseOverAndOver(pair: ProcessPair, tenantId: string, flow: string) {
  const url = `/api/automation/flows/${flow}`
  let rounds = 0
  let takenUp = 0
  const over = new AbortController()
  const take = async (path: string, body?: object): Promise<number> => {
    const { taken_up = 0, remaining = 0 } = await ask(pair, tenantId, path, body)
    takenUp += taken_up
    return remaining
  }
  const running = (async () => {
    while (!over.signal.aborted) {
      await ask(pair, tenantId, `${url}/deactivate`)
      await wait(Math.random() * PAUSE_MS)
      await take(`${url}/activate`, { catch_up: true })
      await ask(pair, tenantId, '/api/automation/halt')
      await wait(Math.random() * PAUSE_MS)
      await take('/api/automation/resume')
      rounds++
      await wait(Math.random() * PAUSE_MS)
    }
  })()
  // Is told by who waits for it.
  running.catch(() => undefined)
  return {
    rounds: () => rounds,
    /** Ends it, and takes up what is left. @returns how many were taken up in all */
    end: async (flows: readonly string[]): Promise<number> => {
      over.abort()
      await running
      for (const each of flows) while ((await take(`/api/automation/flows/${each}/catch-up`)) > 0);
      return takenUp
    },
  }
}

async function register(pair: ProcessPair, tenantId: string, url: string): Promise<void> {
  const plugin = { name: 'counterpart', slug: 'counterpart', webhook_url: `${url}/hook`, events: [] }
  const actions = ['stamp', 'deliver'].map((name) => ({
    action_type: name,
    title: name,
    endpoint: `/${name}`,
  }))
  for (const [path, body, status] of [
    ['/api/plugins', plugin, 201],
    ['/api/plugins/counterpart/register-actions', { actions }, 200],
  ] as const) {
    const response = await pair.live?.request('POST', path, { tenantId, body })
    if (response?.status !== status) throw new Error(await response?.text())
  }
}

/** Each order is created, and paid while others are: before, while and after its execution comes to wait for it. */
async function sendOrders(pair: ProcessPair, tenantId: string): Promise<void> {
  const queue = Array.from({ length: EXECUTIONS }, (_, number) => [
    { at: number, event: 'order.created', number },
    { at: number + 0.5 + Math.random() * (EXECUTIONS / 4), event: 'order.paid', number },
  ])
    .flat()
    .sort((one, other) => one.at - other.at)
    .values()
  const send = async (): Promise<void> => {
    for (const { event, number } of queue) {
      const body = { id: `${event}-${number}`, event, data: { zulu: 1, number, a: 'two' } }
      for (;;) {
        const response = await pair.live?.request('POST', '/api/events', { tenantId, body }).catch(() => null)
        await response?.text().catch(() => '')
        if (response?.status === 202) break
        await wait(50)
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, send))
}

async function countStatuses(db: Kysely<DB>, flow: string): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('automation_executions')
    .select(['status', ({ fn }) => fn.countAll<string>().as('count')])
    .where('flow_id', '=', flow)
    .groupBy('status')
    .execute()
  return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]))
}

/** Selects the executions that did not complete, with the steps that they took. */
async function selectFailures(db: Kysely<DB>, flow: string) {
  const failures = await db
    .selectFrom('automation_executions')
    .select(['id', 'status', 'reason', 'error', 'created_at', 'started_at', 'finished_at'])
    .where('flow_id', '=', flow)
    .where('status', '<>', 'completed')
    .execute()
  const steps = await selectSteps(db, flow)
  return failures.map((failure) => ({
    ...failure,
    steps: steps
      .filter(({ execution_id: id }) => id === failure.id)
      .map(({ name, status }) => [name, status]),
  }))
}

async function leftovers(db: Kysely<DB>, tenantId: string): Promise<{ waits: number; accepted: number }> {
  const waits = await db
    .selectFrom('automation_waits')
    .select('step_id')
    .where('tenant_id', '=', tenantId)
    .execute()
  const accepted = await db
    .selectFrom('action_invocations')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('status', '!=', 'succeeded')
    .execute()
  return { waits: waits.length, accepted: accepted.length }
}

async function selectSteps(db: Kysely<DB>, flow: string) {
  const rows = await db
    .selectFrom('automation_steps as s')
    .innerJoin('automation_executions as e', 'e.id', 's.execution_id')
    .select(['s.execution_id', 's.step_id', 's.iteration', 's.type', 's.status', 's.output'])
    .where('e.flow_id', '=', flow)
    .execute()
  return rows.map(({ step_id, iteration, ...rest }) => ({
    ...rest,
    name: iteration === '' ? step_id : `${step_id}:${iteration}`,
  }))
}

/**
 * Tells whether the output is the one expected: of an accepted call the plugin's completion, of any other the last
 * answer.
 */
function isOutcome(
  key: string,
  calls: { path: string; answer: number } | undefined,
  output: unknown,
): boolean {
  if (calls === undefined) return false
  if (calls.path === '/deliver') return (output as { zulu?: string } | null)?.zulu === key
  const answered = output as { answer?: number; body?: { answer?: number } } | null
  return (answered?.body?.answer ?? answered?.answer) === calls.answer
}

/** A killed process's call may be read so long after the kill. */
const SLACK_MS = 1_000

/** Calls under one key that no kill lies between, but for those that were refused before. */
function unexplained({ calls }: Counterpart, kills: readonly number[]): string[] {
  return [...calls].flatMap(([key, { at, refused }]) => {
    const alone = at.slice(1).filter((time, index) => {
      const previous = at[index] as number
      return !kills.some((kill) => kill > previous - SLACK_MS && kill < time)
    })
    return alone.length > refused ? [`${key}: ${at.join(', ')}`] : []
  })
}
