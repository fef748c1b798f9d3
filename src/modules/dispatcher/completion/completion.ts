import type { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson, writeJson } from '#db/json.ts'
import { now } from '#lib/clock.ts'
import { newId } from '#lib/ids.ts'
import { completeEarly } from './accept-repository.ts'
import {
  addLogEntry,
  type CompletableInvocation,
  type CompletedInvocation,
  completeInvocation,
  completeLogEntry,
  findStanding,
  findExecution,
  lockInvocation,
} from './repository.ts'
import { type CompletionClaim, MAX_COMPLETION_TOKEN_CHARS, readCompletionToken } from './token.ts'
import {
  completionRefused,
  invocationCompleted,
  invocationExpired,
  invocationNotFound,
  resultCode,
} from '../errors.ts'
import { logged } from '../log/entry.ts'
import { inOrder } from '../dispatch/plan.ts'
import type { Completion, CompletionInput } from '../schemas.ts'
import type { DispatcherContext } from '../context.ts'

type Told = Omit<CompletedInvocation, 'tenantId' | 'id' | 'flowExecutionId'>
type CompletionContext = Pick<DispatcherContext, 'db' | 'secretBox' | 'completionSeconds'>

/** Names the invocation that a request may complete. @throws `invocation_not_found` */
export function completionClaim(
  { secretBox }: Pick<CompletionContext, 'secretBox'>,
  invocationId: string,
  token: unknown,
): CompletionClaim {
  const isToken = typeof token === 'string' && token.length <= MAX_COMPLETION_TOKEN_CHARS
  const claim = isToken ? readCompletionToken(secretBox, token) : null
  if (claim?.invocationId !== invocationId.toLowerCase()) throw invocationNotFound()
  return claim
}

/**
 * Ends an action that its plugin does by and by. The token is the authorisation. What the plugin tells is the result,
 * whatever became of the call: it may be faster than its own 202, or its answer may have been lost. Telling the same
 * result again changes nothing.
 */
export async function complete(
  ctx: CompletionContext,
  claim: CompletionClaim,
  input: CompletionInput,
): Promise<Completion> {
  await ctx.db.transaction().execute((trx) => settle(trx, claim, toldBy(input), ctx.completionSeconds))
  return { invocation_id: claim.invocationId, status: input.success ? 'succeeded' : 'failed' }
}

async function settle(
  trx: Transaction<DB>,
  claim: CompletionClaim,
  given: Told,
  completionSeconds: number,
): Promise<void> {
  const { early, tenantId, invocationId: id } = claim
  await refuseUnlessStanding(trx, claim)
  const execution = early === null ? null : await findExecution(trx, tenantId, early.flowExecutionId)
  let found = await lockInvocation(trx, claim, completionSeconds)
  if (found === undefined && early !== null) {
    if (early.until < now() || !execution || execution.isErased) throw invocationExpired()
    if (await completeEarly(trx, claim, early, given)) {
      // Else whoever has the execution finds it, and logs it.
      const completed = { ...given, tenantId, id, flowExecutionId: early.flowExecutionId }
      if (!execution.isLive) await addLogEntry(trx, newId(), completed)
      return
    }
    found = await lockInvocation(trx, claim, completionSeconds)
  }
  if (found === undefined) throw invocationNotFound()
  if (isToldAgain(found, given)) return
  if (found.status === 'succeeded' || found.is_told) throw invocationCompleted()
  if (!found.in_time) throw invocationExpired()
  const told = execution?.isErased === true ? withoutBody(given) : given
  const completed = { ...told, tenantId, id, flowExecutionId: found.flow_execution_id }
  await completeInvocation(trx, completed, { isEarlier: isOldResult(found, given) })
  if (found.status === 'accepted') await completeLogEntry(trx, completed)
  // Of a call under way whoever makes it tells.
  else if (found.status === 'failed' || found.abandoned) await addLogEntry(trx, newId(), completed)
}

/** A plugin that is gone, or whose secret of then is, was never told of it; one that is paused tells nothing now. */
async function refuseUnlessStanding(trx: Transaction<DB>, claim: CompletionClaim): Promise<void> {
  const { pluginId = claim.early?.pluginId, secretId = null } = claim
  if (pluginId == null) return
  const standing = await findStanding(trx, claim.tenantId, pluginId, secretId)
  if (standing === undefined || !standing.isSecretLive) throw invocationNotFound()
  if (!standing.isActive) throw completionRefused()
}

/** It is the result that is recorded, or, with a token from before that, the one of an earlier run that has ended. */
function isToldAgain(found: CompletableInvocation, given: Told): boolean {
  if (found.is_told && isTheSame(found, given)) return true
  const isUnderWay = found.status === 'running' || found.status === 'accepted'
  if (!isUnderWay && isOldResult(found, given)) return true
  if (found.is_told || found.status !== 'succeeded') return false
  const answered = { success: true, data: found.data, errorCode: null, errorMessage: null }
  return given.hash?.equals(hashOf(answered)) === true
}

/**
 * Was told before the run under way, with a token from before it: either the plugin never heard that it was
 * recorded, or it has done it again and kept its first token. It will not tell anything else then, so that this is the
 * end; but for one that had begun anew, what it tells with its newer token still counts.
 */
function isOldResult(found: CompletableInvocation, given: Told): boolean {
  return found.is_old_claim && isTheSame(found, given)
}

function isTheSame({ completion_hash: known }: CompletableInvocation, given: Told): boolean {
  return known !== null && given.hash?.equals(known) === true
}

function toldBy(input: CompletionInput): Told {
  const error = input.success
    ? null
    : {
        message: 'The plugin reported a failure.',
        ...input.error,
        code: resultCode({ code: 'reported_failure', reportedCode: input.error?.code ?? null }, 'plugin'),
      }
  const result = {
    success: input.success,
    data: error === null && input.data !== undefined ? writeJson(input.data) : null,
    errorCode: error?.code ?? null,
    errorMessage: error?.message ?? null,
  }
  return { ...result, loggedResult: logged(error ?? input.data ?? null), hash: hashOf(result) }
}

/** SHA-256 of what is told: members in another order, or null for what is left out, is the same. */
function hashOf(result: Pick<Told, 'success' | 'data' | 'errorCode' | 'errorMessage'>): Buffer {
  const data: unknown = result.data === null ? null : readJson(result.data)
  return createHash('sha256')
    .update(JSON.stringify(inOrder([result.success, data, result.errorCode, result.errorMessage])))
    .digest()
}

/** Leaves empty what was erased, whatever comes of it later. */
function withoutBody(told: Told): Told {
  return { ...told, data: null, loggedResult: null, errorMessage: null, hash: null }
}
