import { isUnavailable } from '#db/errors.ts'
import { LOWEST_ID } from '#lib/id-range.ts'
import { selectRolledUntil } from '#infra/statistics/read-repository.ts'
import { deletingBefore, selectLagging, selectTenants } from '#infra/statistics/rollup-repository.ts'
import { SPANS, type StatsTable } from '#infra/statistics/tables.ts'
import { eachTable, TENANTS_A_STATEMENT } from './roll-up.ts'
import { apart, DAY_MS, postponeIfLocked, type RetentionRun, untilNone } from './run.ts'
import { short } from './statement-repository.ts'

/** Deletes the finer rows of statistics when their days are over and they stand in the coarser ones. */
export async function deleteOldStatistics(run: RetentionRun): Promise<void> {
  await eachTable(async (table) => {
    const rolledUntil = (await selectRolledUntil(run.db, table, null))?.getTime()
    if (rolledUntil === undefined) return
    const lagging = await selectLagging(run.db, table)
    for (let afterId = LOWEST_ID; run.signal?.aborted !== true;) {
      const tenantIds = await selectTenants(run.db, table, afterId, TENANTS_A_STATEMENT)
      const last = tenantIds.at(-1)
      if (last === undefined) return
      const [usual, others] = [
        tenantIds.filter((id) => !lagging.has(id)),
        tenantIds.filter((id) => lagging.has(id)),
      ]
      await eachApart(run, usual, (ids) =>
        postponeIfLocked(run, () => deleteOld(run, table, ids, rolledUntil)),
      )
      for (const id of others) {
        const until = Math.min(lagging.get(id)?.getTime() ?? 0, rolledUntil)
        await eachApart(run, [id], (ids) => postponeIfLocked(run, () => deleteOld(run, table, ids, until)))
      }
      afterId = last
    }
  })
}

/** Does the work for all of the tenants, and for each by itself where that fails. */
async function eachApart(
  run: RetentionRun,
  tenantIds: readonly string[],
  work: (tenantIds: readonly string[]) => Promise<void>,
): Promise<void> {
  try {
    await work(tenantIds)
  } catch (error) {
    if (isUnavailable(error)) throw error
    for (const tenantId of tenantIds) {
      await apart(run, { work: 'statistics', tenantId }, () => work([tenantId]))
    }
  }
}

/**
 * Deletes old rows that readers no longer need: the rows of the next span are rolled up until then, and marked so.
 */
async function deleteOld(
  run: RetentionRun,
  table: StatsTable,
  tenantIds: readonly string[],
  rolledUntil: number,
): Promise<void> {
  for (const [index, { seconds, keptDays }] of SPANS.entries()) {
    const coarserMs = (SPANS[index + 1]?.seconds ?? 1) * 1_000
    const rolled = Math.floor(rolledUntil / coarserMs) * coarserMs
    const before = new Date(Math.min(run.now - keptDays * DAY_MS, rolled))
    run.counts.statistics += await untilNone(run, (limit) =>
      short(run.db, deletingBefore(table, tenantIds, { span: seconds, before, limit })),
    )
  }
}
