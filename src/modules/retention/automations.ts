import { setTimeout as delay } from 'node:timers/promises'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '#lib/id-range.ts'
import { deleteEnrolments, deleteFlows, deleteVersions } from './flow-repository.ts'
import {
  ageChildren,
  ageRecords,
  EXECUTIONS,
  INVOCATIONS,
  LOG_ENTRIES,
  type RecordKind,
  selectRecords,
  tenantsWithRecords,
} from './record-repository.ts'
import {
  apart,
  DAY_MS,
  overAllShops,
  type Place,
  postponeIfLocked,
  type RetentionRun,
  untilNone,
} from './run.ts'

/** Records a batch; their children go in statements of their own. */
const RECORDS_A_BATCH = 500
const FLOWS_A_STATEMENT = 100
/** The interval after which rows that were passed over, as they had not ended, are looked at again. */
const WALK_AGAIN_MS = DAY_MS

/** Executions with what hangs on them, actions and their log, then flows and versions that nothing refers to. */
export async function ageAutomations(run: RetentionRun, before: Date, bodiesBefore: Date): Promise<void> {
  const { counts } = run
  const kinds = [
    ['executions', EXECUTIONS],
    ['log_entries', LOG_ENTRIES],
    ['invocations', INVOCATIONS],
  ] as const
  for (const [name, kind] of kinds) {
    counts[name] += await walk(run, kind, 'delete', before)
    counts.records_emptied += await walk(run, kind, 'empty', bodiesBefore)
  }
  counts.enrolments += await overAllShops(run, 'automation_enrolments', (whose, limit) =>
    deleteEnrolments(run.db, whose, new Date(run.now), limit),
  )
  const failedBefore = counts.failed
  if (placeOf(run, 'flows').since < run.now) return
  counts.flows += await overAllShops(
    run,
    'automation_flows',
    (whose, limit) => deleteFlows(run.db, whose, before, limit),
    FLOWS_A_STATEMENT,
  )
  counts.flow_versions += await overAllShops(
    run,
    'automation_flow_versions',
    (whose, limit) => deleteVersions(run.db, whose, before, limit),
    FLOWS_A_STATEMENT,
  )
  // Not in a day only.
  if (counts.failed > failedBefore) run.memory.delete('flows')
}

async function walk(
  run: RetentionRun,
  kind: RecordKind,
  work: 'empty' | 'delete',
  before: Date,
): Promise<number> {
  const beforeId = lowestIdAt(before.getTime() + ID_CLOCK_SLACK_MS)
  let aged = 0
  for (const tenantId of await tenantsWithRecords(run.db, kind, beforeId)) {
    const key = `${work} ${kind.table} ${tenantId}`
    const place = placeOf(run, key)
    await apart(run, { work: kind.table, tenantId }, async () => {
      for (let more = true; more && run.signal?.aborted !== true;) {
        const range = { work, afterId: place.afterId, beforeId, before, limit: RECORDS_A_BATCH }
        const records = await selectRecords(run.db, tenantId, kind, range)
        const ids = records.filter(({ due }) => due).map(({ id }) => id)
        if (ids.length > 0) {
          await postponeIfLocked(run, async () => {
            for (const child of kind.children) {
              await untilNone(run, (limit) => ageChildren(run.db, tenantId, child, work, ids, limit))
            }
            if (run.signal?.aborted !== true)
              aged += await ageRecords(run.db, tenantId, kind, work, ids, before)
          })
        }
        place.afterId = records.at(-1)?.id ?? place.afterId
        more = records.length === RECORDS_A_BATCH
        if (more) await delay(run.pauseMs)
      }
    })
  }
  return aged
}

/** Returns the place at which a walk goes on: at the start again when it has been a day. */
function placeOf(run: RetentionRun, key: string): Place {
  const { memory } = run
  const known = memory.get(key)
  if (known !== undefined && run.now - known.since < WALK_AGAIN_MS) return known
  const place = { afterId: LOWEST_ID, since: run.now }
  memory.set(key, place)
  return place
}
