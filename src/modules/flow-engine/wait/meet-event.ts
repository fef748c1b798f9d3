import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { EventScope } from '#lib/flow/scope.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { StepBudget } from '#lib/step-budget.ts'
import { cancelExecutions, type CountCancelled } from '../run/cancel-repository.ts'
import { hashesOfEvent, type MatchHashes } from './hash.ts'
import { meetsFilter, type Untested, untested, WAIT_STEPS } from './filter.ts'
import { nearMissOf } from './near-miss.ts'
import { markReceived, type MetWait, passOver, selectWaiting, type WaitingRow } from './repository.ts'

/** Waits that are read at once: each may hold what its filter starts from. */
const PAGE = 200

export interface Receiving {
  tenantId: string
  event: EventScope
  /** By which the tenant's waits look events of the type up. */
  paths: readonly string[]
  now: Date
  /** Of the tenant's turn. */
  budget: StepBudget
  /** The execution up to which an earlier turn has gone; null: this is the first one. */
  after: string | null
  /** Only executions with ids below this one; null: all. */
  before: string | null
  /** Told how many executions it has cancelled. */
  onCancelled: CountCancelled
}

/**
 * Hands an event to those who wait for it, and ends what is to be cancelled by it.
 *
 * @returns the execution up to which it has gone, when the turn's budget is used up before all were asked
 */
export async function receive(trx: Transaction<DB>, given: Receiving): Promise<string | null> {
  const { tenantId, event, budget } = given
  const hashes: MatchHashes[] = []
  for (const paths of given.paths) {
    await loopShare.turn(tenantId)
    const each = hashesOfEvent(event.type, paths, event.data)
    budget.take(HASH_STEPS)
    if (each !== null) hashes.push(each)
  }
  if (hashes.length === 0) return null
  const from = { tenantId, event: event.type, hashes, before: given.before }
  let after: WaitingRow | string | null = given.after
  let finished: string | null = null
  for (;;) {
    const page: WaitingRow[] = await selectWaiting(trx, from, after, PAGE)
    const last = page.at(-1)
    if (last === undefined) return null
    await take(trx, given, page)
    if (page.length < PAGE) return null
    after = last
    // The last execution of a page may have more waits behind it.
    finished = page.findLast((wait) => wait.execution_id !== last.execution_id)?.execution_id ?? finished
    if (budget.left === 0 && finished !== null) return finished
  }
}

const HASH_STEPS = 20

async function take(trx: Transaction<DB>, given: Receiving, page: readonly WaitingRow[]): Promise<void> {
  const { tenantId, event, now, budget } = given
  const met: WaitingRow[] = []
  const passedOver: { wait: WaitingRow; untested: Untested }[] = []
  for (const wait of page) {
    await loopShare.turn(tenantId)
    if (wait.is_near) {
      budget.take(1)
      passedOver.push({ wait, untested: untested('near_miss', nearMissOf(wait.paths, event.data)) })
      continue
    }
    const share = new StepBudget(WAIT_STEPS)
    const verdict = meetsFilter(wait.filter, event, now, share)
    budget.take(1 + share.spent)
    if (typeof verdict === 'object') passedOver.push({ wait, untested: verdict })
    else if (verdict) met.push(wait)
  }
  const cancelled = new Set(met.filter((wait) => wait.purpose === 'cancel').map((wait) => wait.execution_id))
  await cancelExecutions(trx, tenantId, [...cancelled], 'cancel_on', given.onCancelled)
  const first = new Map<string, MetWait>()
  for (const { execution_id: executionId, purpose, iteration, alternative } of met) {
    const key = `${executionId} ${iteration}`
    if (purpose === 'resume' && !cancelled.has(executionId) && !first.has(key)) {
      first.set(key, { executionId, iteration, alternative })
    }
  }
  if (first.size > 0) await markReceived(trx, tenantId, event.id, [...first.values()], now)
  if (passedOver.length > 0) await passOver(trx, tenantId, event.id, passedOver)
}
