import { invalidRequest } from '../../infra/problems.ts'
import { hasHugeNumber } from '../../lib/action-call.ts'
import { newId } from '../../lib/ids.ts'
import { completeEarly } from './accept-repository.ts'
import { addLogEntry, completeInvocation, completeLogEntry, lockInvocation } from './completion-repository.ts'
import { readCompletionToken } from './completion-token.ts'
import { invocationNotAccepted, invocationNotFound } from './errors.ts'
import { logged } from './log-entry.ts'
import type { Completion, CompletionInput } from './schemas.ts'
import type { DispatcherContext } from './types.ts'

/**
 * Ends an action that its plugin does by and by. The token is the authorisation. A plugin may be faster than its own
 * 202: an action that is still being called is completed, too, and the answer to the call no longer counts.
 */
export async function complete(
  ctx: Pick<DispatcherContext, 'db' | 'secretBox'>,
  invocationId: string,
  token: string,
  input: CompletionInput,
): Promise<Completion> {
  const claim = readCompletionToken(ctx.secretBox, token)
  if (claim?.invocationId !== invocationId.toLowerCase()) throw invocationNotFound()
  if (hasHugeNumber(input.data)) {
    throw invalidRequest(undefined, { errors: [{ pointer: '/data', detail: 'has a number beyond 1.8e308' }] })
  }
  const error = input.success
    ? null
    : { code: 'reported_failure', message: 'The plugin reported a failure.', ...input.error }
  const outcome = {
    success: input.success,
    data: error === null && input.data !== undefined ? JSON.stringify(input.data) : null,
    loggedResult: logged(error ?? input.data ?? null),
    errorCode: error?.code ?? null,
    errorMessage: error?.message ?? null,
  }
  await ctx.db.transaction().execute(async (trx) => {
    const { early, tenantId, invocationId: id } = claim
    let found = await lockInvocation(trx, claim)
    if (found === undefined && early !== null) {
      if (early.until < Date.now()) throw invocationNotAccepted()
      if (await completeEarly(trx, claim, early, outcome)) return
      found = await lockInvocation(trx, claim)
    }
    if (found === undefined) throw invocationNotFound()
    const waits = found.status === 'running' || (found.status === 'accepted' && found.in_time)
    if (!waits || !found.current) throw invocationNotAccepted()
    const completed = { ...outcome, tenantId, id, flowExecutionId: found.flow_execution_id }
    await completeInvocation(trx, completed)
    if (found.status === 'accepted') await completeLogEntry(trx, completed)
    else if (found.abandoned) await addLogEntry(trx, newId(), completed)
  })
  return { invocation_id: claim.invocationId, status: input.success ? 'succeeded' : 'failed' }
}
