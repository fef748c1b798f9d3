import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { fullStockProblem } from '#infra/quotas.ts'
import type { Problem } from '#lib/api/problem.ts'
import {
  flowOutdated,
  type Retried,
  type RetryRefusal,
  type RetryRequest,
} from '#modules/flow-engine/index.ts'
import type { ExecutionContext } from './context.ts'
import {
  automationsHalted,
  executionNotEnded,
  executionNotFound,
  flowVersionMissing,
  nothingToRetry,
  retryOutputsMissing,
  retryRefused,
  retryStepInside,
  retryStepUnknown,
  retryUnderWay,
} from './errors.ts'
import { findExecution } from './read/repository.ts'
import type { Execution, RetryInput } from './read/schemas.ts'
import { toExecution } from './read/view.ts'

/** @throws `execution_not_found`, and whatever keeps it from being retried */
export async function retryExecution(
  ctx: ExecutionContext,
  actor: Actor,
  tenantId: string,
  id: string,
  input: RetryInput,
): Promise<Execution> {
  const request: RetryRequest = {
    tenantId,
    executionId: id,
    from: readFrom(input.from),
    version: input.version ?? 'same',
    ...(Object.hasOwn(input, 'trigger') && { trigger: input.trigger }),
    once: false,
  }
  const execution = await ctx.db.transaction().execute(async (trx) => {
    const outcome = await startRetry(ctx, trx, actor, request)
    if (outcome.reason !== null) throw refusalProblem(outcome)
    const row = await findExecution(trx, tenantId, outcome.id)
    if (row === undefined) throw executionNotFound()
    return toExecution(row, [])
  })
  ctx.signals.publish('executions_due', [tenantId])
  return execution
}

/** One retry with its entry in the audit log. What is refused has written nothing. */
export async function startRetry(
  ctx: Pick<ExecutionContext, 'flowEngine'>,
  trx: Transaction<DB>,
  actor: Actor,
  request: RetryRequest,
): Promise<Retried | RetryRefusal> {
  const outcome = await ctx.flowEngine.retry(trx, request)
  if (outcome.reason !== null) return outcome
  const { id, version, from, carried } = outcome
  await audit(trx, actor, {
    tenantId: request.tenantId,
    action: 'execution.retried',
    targetKind: 'execution',
    targetId: request.executionId,
    detail: { retry: id, version, from, carried, edited: request.trigger !== undefined },
  })
  return outcome
}

/** `failed` is the default. */
export function readFrom(from: string | undefined): RetryRequest['from'] {
  if (from === undefined || from === 'failed') return { at: 'failed' }
  return from === 'start' ? { at: 'start' } : { at: 'step', step: from }
}

function refusalProblem(refusal: RetryRefusal): Problem {
  const at = (detail: string) => ({ errors: [{ pointer: '/from', detail }] })
  switch (refusal.reason) {
    case 'not_found':
      return executionNotFound()
    case 'not_ended':
      return executionNotEnded()
    case 'retried':
      return retryUnderWay()
    case 'halted':
      return automationsHalted()
    case 'flow_deleted':
      return flowVersionMissing('The flow was deleted.')
    case 'version_missing':
      return flowVersionMissing('The flow has no published version, or not the one that was run.')
    case 'flow_outdated':
      return flowOutdated()
    case 'nothing_failed':
      return nothingToRetry()
    case 'already_active':
      return retryRefused(
        'Another execution with the same key is active, and the flow says while_active: skip.',
      )
    case 'waiting_executions':
      return fullStockProblem(refusal.reason, refusal.limit)
    case 'invalid_enrolment':
      return retryRefused(`${refusal.code}: ${refusal.message}`)
    case 'invalid_trigger':
      return invalidRequest("The trigger is not what the flow's input has to be.", {
        errors: refusal.violations.map(({ pointer, detail }) => ({ pointer: `/trigger${pointer}`, detail })),
      })
    case 'step_unknown':
      return retryStepUnknown(undefined, at(`this version has no step "${refusal.step}"`))
    case 'inside_loop':
      return retryStepInside(
        `The step "${refusal.step}" is inside of the loop "${refusal.loop}": retry from "failed", which goes on at the items that have not ended, or from "${refusal.loop}", which does all of them again.`,
        at('is inside of a loop'),
      )
    case 'inside_handler':
      return retryStepInside(
        `The step "${refusal.step}" is part of an error handler: retry from the step that failed.`,
        at('is part of an error handler'),
      )
    case 'outputs_missing':
      return retryOutputsMissing(
        `The execution has not made ${refusal.missing.join(', ')}: start from an earlier step.`,
        at(`steps from "${refusal.step}" on need ${refusal.missing.join(', ')}`),
      )
  }
}
