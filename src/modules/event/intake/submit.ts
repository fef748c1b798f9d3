import type { FastifyBaseLogger } from 'fastify'
import type { EventSource } from '#db/schema.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { type FieldError, Problem } from '#lib/api/problem.ts'
import type { Causation } from './causation.ts'
import type { GivenEvent } from './parse.ts'
import type { AcceptedEvent, EventBatchResult } from './schemas.ts'
import type { EventService, IntakeResult, NewEvent, Sender } from '../context.ts'

/** The sender of events, and its way. */
export interface Submitter {
  source: EventSource
  pluginId: string | null
  sender: Sender
  requestId: string
  log: FastifyBaseLogger
  /** The tenant of an event that names it or does not. @throws `tenant_mismatch`, `tenant_required` */
  tenantFor(tenantId: string | undefined): string
  /** Returns as much of the causation that they name as counts. */
  believed(causation: Causation, tenantId: string): Causation
}

/** @throws the problem for which the event is refused */
export async function submitOne(
  events: EventService,
  submitter: Submitter,
  given: GivenEvent | FieldError[] | Problem,
): Promise<AcceptedEvent> {
  if (given instanceof Problem) throw given
  if (Array.isArray(given)) throw invalidRequest(undefined, { errors: given })
  const [result] = await events.accept([newEvent(submitter, given)], submitter.log)
  if (result === undefined) throw new Error('intake gave no result')
  if (result.status === 'rejected') throw result.problem
  const { id, event, status, deliveries } = result
  return { id, source_id: given.id, event, duplicate: status === 'duplicate', deliveries }
}

/** One result for each event; what is refused does not keep the others from being stored. */
export async function submitBatch(
  events: EventService,
  submitter: Submitter,
  given: readonly (GivenEvent | FieldError[] | Problem)[],
): Promise<EventBatchResult> {
  const read = given.map((each) => newEventOrProblem(submitter, each))
  const accepted = await events.accept(
    read.flatMap((each) => (each instanceof Problem ? [] : [each])),
    submitter.log,
  )
  let next = 0
  const summary = { accepted: 0, duplicate: 0, rejected: 0 }
  const results = read.map((each, index) => {
    const result: IntakeResult | undefined =
      each instanceof Problem ? { status: 'rejected', problem: each } : accepted[next++]
    if (result === undefined) throw new Error('intake gave too few results')
    summary[result.status] += 1
    if (result.status === 'rejected') {
      const { requestId } = submitter
      return { index, status: result.status, problem: { ...result.problem.toJSON(), request_id: requestId } }
    }
    const { status, id, deliveries } = result
    const sourceId = (each as NewEvent).sourceId
    return { index, status, id, ...(sourceId != null && { source_id: sourceId }), deliveries }
  })
  return { summary, results }
}

function newEventOrProblem(
  submitter: Submitter,
  given: GivenEvent | FieldError[] | Problem,
): NewEvent | Problem {
  if (given instanceof Problem) return given
  if (Array.isArray(given)) return invalidRequest(undefined, { errors: given })
  try {
    return newEvent(submitter, given)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

function newEvent(submitter: Submitter, given: GivenEvent): NewEvent {
  const tenantId = submitter.tenantFor(given.tenantId)
  return {
    tenantId,
    event: given.event,
    data: given.data,
    sourceId: given.id,
    timestamp: given.timestamp,
    source: submitter.source,
    publisherPluginId: submitter.pluginId,
    sender: submitter.sender,
    causation: given.causation && submitter.believed(given.causation, tenantId),
    cloudEvent: given.cloudEvent,
  }
}
