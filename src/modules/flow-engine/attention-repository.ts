import type pg from 'pg'

/** Events and flows that wait for somebody to see to them: none of them goes on by itself. */
export interface Attention {
  /** Events that no flow has seen, and that nobody has taken up again. */
  setAside: number
  /** Flows that the service itself has paused. */
  paused: number
}

/** Further ones are not counted. */
const COUNT_LIMIT = 10_000

/** Counts events that are set aside and paused flows, of all tenants. */
export async function countAttention(pool: pg.Pool): Promise<Attention> {
  const { rows } = await pool.query<Attention>(
    `select
       (select count(*)::integer from (
          select from set_aside_events where wanted_at is null limit ${COUNT_LIMIT}) one) as "setAside",
       (select count(*)::integer from (
          select from automation_flows where status = 'paused' and deleted_at is null limit ${COUNT_LIMIT}) one) as paused`,
  )
  return rows[0] ?? { setAside: 0, paused: 0 }
}
