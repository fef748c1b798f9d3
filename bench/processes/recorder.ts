/** What counts deliveries, alone: as a worker adds each outcome, and with the statements that write the sums. */
import pg from 'pg'
import type { FastifyBaseLogger } from 'fastify'
import { StatsRecorder } from '#infra/statistics/recorder.ts'
import { serve } from '../support/ipc.ts'

export interface Recorded {
  databaseUrl: string
  tenantId: string
  plugins: readonly string[]
  event: string
  count: number
  /** Outcomes between two writes of the sums. */
  perWrite: number
}

const log = {
  warn: (fields: object, message: string): void => {
    throw new Error(`${message}: ${JSON.stringify(fields)}`)
  },
} as unknown as FastifyBaseLogger

async function run({ databaseUrl, tenantId, plugins, event, count, perWrite }: Recorded): Promise<void> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1, application_name: 'bench' })
  const recorder = new StatsRecorder(pool, log)
  for (let n = 0; n < count; n++) {
    const keys = { plugin_id: plugins[n % plugins.length] ?? '', event, error_class: '' }
    const counts = ['attempts', 'sent', 'first_try'] as const
    recorder.add('deliveries', { tenantId, keys, counts, ms: n % 40, queueMs: n % 90 })
    if (n % perWrite === perWrite - 1) await recorder.flush()
  }
  await recorder.close()
  await pool.end()
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
