import type { Actor } from '#infra/auth/auth.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { selectEvents } from '#modules/event/index.ts'
import type { Simulation } from '#modules/flow-engine/index.ts'
import type { FlowContext } from '../context.ts'
import { loadCatalogue } from '../definition/catalogue.ts'
import type { FlowRef } from '../lifecycle/revision.ts'
import type { EventsTest, EventsTestRequest } from './schemas.ts'
import { checkLists, eventTrigger, noteTest, simulationOf, subjectOf } from './service.ts'

/** No event is begun after it; one that is under way has a limit of its own. */
const ALL_EVENTS_MS = 5_000
/** An event may have a megabyte. */
const EVENTS_AT_ONCE = 10

type Outcome = EventsTest['results'][number]

/**
 * Says what a flow would have done with each of some past events, at the time when it came, and does nothing of it. Between
 * two events other tenants have their turn.
 *
 * @param allMs the time after which no further event is begun
 * @throws `flow_not_found`, `flow_version_not_found`, `flow_invalid`, `invalid_request`
 */
export async function testFlowOnEvents(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: FlowRef,
  request: EventsTestRequest,
  allMs = ALL_EVENTS_MS,
): Promise<EventsTest> {
  const subject = await subjectOf(ctx, tenantId, id, request)
  const ids = request.event_ids
  await noteTest(ctx, actor, tenantId, subject, { events: ids.length })
  const catalogue = await loadCatalogue(ctx, tenantId)
  checkLists(subject.flow, request.mocks)
  const endsAt = performance.now() + allMs
  const results: Outcome[] = []
  // One is tried in any case: whoever asks for the rest again gets on.
  const isOver = (): boolean => results.length > 0 && performance.now() >= endsAt
  for (let first = 0; first < ids.length && !isOver(); first += EVENTS_AT_ONCE) {
    const some = ids.slice(first, first + EVENTS_AT_ONCE)
    const rows = new Map((await selectEvents(ctx.db, tenantId, some)).map((row) => [row.id, row]))
    for (const eventId of some) {
      if (isOver()) break
      await loopShare.turn(tenantId)
      // As the database writes it: callers may have it in capitals.
      const row = rows.get(eventId.toLowerCase())
      const trigger = row === undefined ? null : eventTrigger(row, request.trigger)
      if (row === undefined || trigger === null) {
        results.push({ event_id: eventId, start: null, end: null, limit: null, done: [] })
        continue
      }
      const given = { catalogue, trigger, now: row.received_at }
      const simulation = await ctx.engine.simulate(simulationOf(tenantId, subject, request, given))
      results.push(outcomeOf(eventId, simulation))
    }
  }
  const { flowId, version, isPublished, problems } = subject
  return {
    flow_id: flowId,
    version: isPublished ? version : null,
    results,
    complete: results.length === ids.length,
    problems,
  } as EventsTest
}

function outcomeOf(event_id: string, { start, end, limit, steps }: Simulation): Outcome {
  const acts = steps.flatMap(({ step_id, would }) => (would === null ? [] : [{ step_id, kind: would.kind }]))
  const groups = Map.groupBy(acts, ({ step_id, kind }) => `${step_id} ${kind}`)
  const done = [...groups.values()].flatMap((same) => {
    const [first] = same
    return first === undefined ? [] : [{ ...first, count: same.length }]
  })
  return { event_id, start, end, limit, done } as Outcome
}
