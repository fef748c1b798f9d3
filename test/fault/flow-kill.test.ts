import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { CanonicalStep } from '../../src/lib/flow/types.ts'
import { flowOf, publishFlow, step } from '../modules/flow-engine/support.ts'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/deliveries.ts'
import { type ServiceProcess, startService } from '../support/service-process.ts'
import { EventSender } from './load.ts'

t.setTimeout(240_000)

const EXECUTIONS = 300
const KILLS = 12
const LEASE_MS = 2_000
/** Before the loop, three items, the one that fails at first, and the last. */
const CALLS_EACH = 6

t.test(
  '300 executions with waits, retries and loops through 12 kills: each ends, and no completed step ran twice',
  async (t) => {
    const database = await createTestDatabase(t)
    const endpoint = await startEndpoint(t)
    const tenantId = crypto.randomUUID()
    const options = {
      databaseUrl: database.url,
      env: { LEASE_MS: String(LEASE_MS), FLOW_MAX_STARTS_PER_MINUTE: '100000' },
    }
    let service: ServiceProcess = await startService(t, options)
    const port = Number(new URL(service.url).port)
    // Makes the tenant known.
    const first = await service.request('POST', '/api/events', {
      tenantId,
      body: { event: 'shop.opened', data: {} },
    })
    t.equal(first.status, 202, await first.text())
    const flow = await publishFlow(database.db, tenantId, theFlow(endpoint.url))

    const count = async (
      statuses: readonly ('completed' | 'running' | 'queued' | 'waiting' | 'failed')[],
    ) => {
      const { n } = await database.db
        .selectFrom('automation_executions')
        .select(({ fn }) => fn.countAll<number>().as('n'))
        .where('flow_id', '=', flow)
        .where('status', 'in', statuses)
        .executeTakeFirstOrThrow()
      return n
    }
    const sender = new EventSender(() => service, tenantId)
    const sent = sender.send(EXECUTIONS, 8)
    for (let kill = 1; kill <= KILLS; kill++) {
      // At a random moment of each part of the work, measured by the calls that have come.
      const moment = Math.floor(((kill - 1 + Math.random()) * EXECUTIONS * CALLS_EACH) / (KILLS + 1))
      await eventually('the moment of the kill', () => endpoint.calls >= moment, 60_000)
      service.kill('SIGKILL')
      await service.exited
      service = await startService(t, { ...options, port })
    }
    await sent
    await eventually(
      'every execution has ended',
      async () => (await count(['completed'])) === EXECUTIONS,
      60_000,
    )
    t.equal(await count(['running', 'queued', 'waiting', 'failed']), 0, 'nothing stays behind')

    const steps = await database.db
      .selectFrom('automation_steps as s')
      .innerJoin('automation_executions as e', 'e.id', 's.execution_id')
      .select([
        's.execution_id',
        's.step_id',
        's.iteration',
        's.started_at',
        's.duration_ms',
        's.output',
        's.type',
      ])
      .where('e.flow_id', '=', flow)
      .where('s.status', '=', 'succeeded')
      .execute()
    const done = new Set(
      steps.map(({ execution_id, step_id, iteration }) => `${execution_id}:${step_id}:${iteration}`),
    )
    t.equal(done.size, steps.length, 'each step stands once in the log')
    const http = steps.filter(({ type }) => type === 'http')
    t.equal(http.length, EXECUTIONS * CALLS_EACH)
    const wrong = http.filter(({ execution_id, step_id, iteration, output }) => {
      const key = [execution_id, step_id, ...(iteration === '' ? [] : [iteration])].join(':')
      const { body } = output as { body: { answer: number } }
      // The answer that completed the step is the last one that was given under its key.
      return endpoint.answers.get(key) !== body.answer
    })
    t.strictSame(wrong, [], 'nothing was called again after it had completed')
    t.equal(
      endpoint.answers.size,
      EXECUTIONS * CALLS_EACH,
      'a repeated call carries the same Idempotency-Key',
    )
    t.strictSame(endpoint.faults, [], 'and the same body')
    t.comment(`${endpoint.calls} calls for ${EXECUTIONS * CALLS_EACH} steps, ${KILLS} kills`)
  },
)

function theFlow(url: string) {
  const call = (path: string, to: string, loop: string | null = null): CanonicalStep =>
    step({
      type: 'http',
      config: {
        method: 'POST',
        url: `${url}${path}`,
        headers: {},
        body: { at: '{{now}}', item: loop === null ? null : '{{item}}' },
      },
      next: { success: to },
      retry: { max_retries: 5, base_ms: 100, cap_ms: 1_000 },
      timeout_ms: 5_000,
      loop,
    })
  const short = { kind: 'duration' as const, duration: '300 ms', duration_ms: 300 }
  return flowOf({
    before: call('/before', 'pause'),
    pause: step({ type: 'delay', config: short, next: { next: 'loop' } }),
    loop: step({
      type: 'for_each',
      config: { list: [1, 2, 3], body: 'item', max_items: 10, concurrency: 2 },
      next: { done: 'unsure' },
    }),
    item: call('/item', 'rest', 'loop'),
    rest: step({ type: 'delay', config: short, next: { next: 'end' }, loop: 'loop' }),
    unsure: call('/unsure', 'last'),
    last: call('/last', 'end'),
  })
}

/** Numbers its answers, and refuses the first call under each key of `/unsure`. */
async function startEndpoint(t: { teardown(done: () => Promise<void>): void }) {
  const answers = new Map<string, number>()
  const bodies = new Map<string, string>()
  const faults: string[] = []
  let calls = 0
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const key = String(request.headers['idempotency-key'])
      const body = Buffer.concat(chunks).toString()
      if ((bodies.get(key) ?? body) !== body) faults.push(`${key}: ${bodies.get(key) ?? ''} then ${body}`)
      const isFirst = !bodies.has(key)
      bodies.set(key, body)
      const answer = ++calls
      answers.set(key, answer)
      response.writeHead(request.url === '/unsure' && isFirst ? 503 : 200).end(JSON.stringify({ answer }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    faults,
    get calls() {
      return calls
    },
  }
}
