import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { StatsRecorder } from '#infra/statistics/recorder.ts'
import { newId } from '#lib/ids.ts'
import { freePort } from '#test/support/free-port.ts'

/** Returns a pool whose address has no Postgres. */
async function awayPool(t: Test): Promise<pg.Pool> {
  const pool = new pg.Pool({ host: '127.0.0.1', port: await freePort() })
  t.teardown(() => pool.end())
  return pool
}

function warnings(): { log: pino.Logger; said: { msg: string; samples?: number; rows?: number }[] } {
  const said: { msg: string; samples?: number; rows?: number }[] = []
  const log = pino({}, { write: (line: string) => void said.push(JSON.parse(line) as (typeof said)[number]) })
  return { log, said }
}

const sample = (event: string) => ({
  tenantId: newId(),
  keys: { plugin_id: newId(), event, error_class: '' },
  counts: ['attempts' as const],
  ms: 1,
})

t.test('what is lost with Postgres away is told once a flush', async (t) => {
  const { log, said } = warnings()
  const recorder = new StatsRecorder(await awayPool(t), log)
  for (let n = 0; n < 50_003; n++) recorder.add('deliveries', sample('a.b'))
  await recorder.flush()
  t.match(said, [{ msg: /^statistics lost/, samples: 3 }, { msg: /^statistics not written yet/ }])
  await recorder.flush()
  t.equal(said.filter(({ msg }) => msg.startsWith('statistics lost')).length, 1)
  await recorder.close()
})

t.test('it keeps no process alive, not even with Postgres away', async (t) => {
  const source = `
    import pg from 'pg'
    import { pino } from 'pino'
    import { StatsRecorder } from '#infra/statistics/recorder.ts'
    const pool = new pg.Pool({ host: '127.0.0.1', port: ${await freePort()} })
    const recorder = new StatsRecorder(pool, pino({ level: 'silent' }))
    const keys = { plugin_id: crypto.randomUUID(), event: 'a.b', error_class: '' }
    const add = () => recorder.add('deliveries', { tenantId: crypto.randomUUID(), keys, counts: ['sent'], ms: 1 })
    add()
    await recorder.flush()
    if (process.argv.includes('close')) await recorder.close()
    add()
    console.log('done')`
  for (const end of ['open', 'close']) {
    const run = promisify(execFile)
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', source, end], {
      timeout: 60_000,
    })
    t.equal(stdout, 'done\n', end)
  }
})
