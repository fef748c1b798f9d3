import { createHash } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import { identityText } from '#lib/condition/identity.ts'
import { MAX_DURATION_MS } from '#lib/time.ts'
import { render } from '../run/evaluate.ts'
import { sortedJson } from '../wait/hash.ts'
import type { Program } from '../run/program.ts'
import { hasEnrolled, selectActive, upsertEnrolment } from './enrolment-repository.ts'

/** Characters of an enrolment key that are kept as they are: an index entry holds no more than 2,700 bytes. */
const KEY_MAX_CHARS = 500

/** Null: the flow has none, every execution stands alone. @throws {StepError} */
export function enrolmentKey(program: Program, scope: FlowScope, now: Date): string | null {
  const { key } = program.flow.settings.enrolment
  if (key === null) return null
  const value = render(program, key, scope, now)
  return shortened(identityText(value) ?? sortedJson(value))
}

export interface Enrolled {
  tenantId: string
  flowId: string
  program: Program
}

/** Longer than any `reenter_after`: what is later made longer finds what it needs. Of a rule that is made `never`, retention keeps it. */
const KEPT_MS = MAX_DURATION_MS

export interface EnrolmentDecision {
  /** Why another execution does not start under the key; null: it does. */
  reason: 'reentered_too_soon' | 'already_active' | null
  /** Executions that have to make way for it. */
  restarts: string[]
}

/**
 * Decides by the flow's enrolment about one more execution under a key. Reads, and changes nothing.
 * @param own an earlier start of the same execution, which is no other one
 */
export async function decideEnrolment(
  db: Kysely<DB> | Transaction<DB>,
  enrolled: Enrolled & { now: Date },
  key: string,
  own: string | null = null,
): Promise<EnrolmentDecision> {
  const { reenter_after_ms, reenter_never = false } = enrolled.program.flow.settings.enrolment
  if (reenter_after_ms !== null) {
    const since = reenter_never ? null : new Date(enrolled.now.getTime() - reenter_after_ms)
    if (await hasEnrolled(db, { ...enrolled, key }, since, own))
      return { reason: 'reentered_too_soon', restarts: [] }
  }
  return decideWhileActive(db, enrolled, key)
}

/** Remembers that an execution has started under a key, if the flow asks for that. The key is locked. */
export async function recordEnrolment(
  trx: Transaction<DB>,
  { tenantId, flowId, program, now }: Enrolled & { now: Date },
  key: string | null,
  executionId: string,
): Promise<void> {
  const { reenter_after_ms, reenter_never = false } = program.flow.settings.enrolment
  if (key === null || reenter_after_ms === null) return
  await upsertEnrolment(
    trx,
    { tenantId, flowId, key },
    { executionId, now, expiresAt: reenter_never ? null : new Date(now.getTime() + KEPT_MS) },
  )
}

/** The same for what is under the key now, whenever the last one started: a retry is no new enrolment. */
export async function decideWhileActive(
  db: Kysely<DB> | Transaction<DB>,
  enrolled: Enrolled,
  key: string,
): Promise<EnrolmentDecision> {
  const { while_active } = enrolled.program.flow.settings.enrolment
  if (while_active === 'allow') return { reason: null, restarts: [] }
  const { tenantId, flowId } = enrolled
  const active = await selectActive(db, { tenantId, flowId, key })
  if (active.length === 0) return { reason: null, restarts: [] }
  if (while_active === 'skip') return { reason: 'already_active', restarts: [] }
  return { reason: null, restarts: active }
}

function shortened(key: string): string {
  return key.length <= KEY_MAX_CHARS ? key : createHash('sha256').update(key).digest('hex')
}
