import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import type { Bed } from './bed.ts'

export interface Machine {
  cpu: string
  cores: number
  memory_gb: number
  node: string
  postgres: string
  /** The settings that decide how dear a commit is. */
  postgres_settings: Record<string, string>
  /** Mean number of busy processes in the minute before, ours not among them. */
  load_before: number
}

const SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size']

export async function describeMachine(bed: Bed): Promise<Machine> {
  const load = loadavg()[0] ?? Number.NaN
  const { rows } = await bed.admin.query<{ name: string; setting: string }>(
    'select name, current_setting(name) as setting from pg_settings where name = any($1) order by name',
    [['server_version', ...SETTINGS]],
  )
  const { server_version: postgres = 'unknown', ...settings } = Object.fromEntries(
    rows.map(({ name, setting }) => [name, setting]),
  )
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres,
    postgres_settings: settings,
    load_before: Math.round(load * 10) / 10,
  }
}
