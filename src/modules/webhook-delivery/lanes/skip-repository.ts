import type pg from 'pg'

/** Deliveries given up at once by `giveUpSkipped`: short enough not to hold their rows for long. */
const SKIP_BATCH = 1_000

/**
 * Gives up waiting deliveries from before the lane's `skip_before`, a batch at a time, and clears the mark once
 * none is left. @returns how many were given up; 0: done
 */
export async function giveUpSkipped(
  pool: pg.Pool,
  lane: { pluginId: string; leaseToken: number; skipBefore: string },
): Promise<number> {
  const { rowCount } = await pool.query({
    name: 'give_up_skipped',
    text: `with lane as (
             select plugin_id, tenant_id, skip_before, skip_reason from delivery_lanes
             where plugin_id = $1 and lease_token = $2 and lease_until > clock_timestamp() and skip_before is not null
           ), doomed as (
             select d.tenant_id, d.id from lane join deliveries d on d.plugin_id = lane.plugin_id and d.tenant_id = lane.tenant_id
             where d.status in ('pending', 'retry') and d.created_at < lane.skip_before
             limit ${SKIP_BATCH} for update of d
           )
           update deliveries d set status = 'failed', reason = (select skip_reason from lane), due_at = null
           from doomed where d.tenant_id = doomed.tenant_id and d.id = doomed.id`,
    values: [lane.pluginId, lane.leaseToken],
  })
  if (rowCount === 0) {
    await pool.query({
      name: 'clear_skip',
      text: `update delivery_lanes set skip_before = null, skip_reason = null 
             where plugin_id = $1 and lease_token = $2 and skip_before = $3::timestamptz
               and lease_until > clock_timestamp()`,
      values: [lane.pluginId, lane.leaseToken, lane.skipBefore],
    })
  }
  return rowCount ?? 0
}
