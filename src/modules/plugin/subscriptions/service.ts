import type { StoredSubscription } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { now } from '#lib/clock.ts'
import { evaluateCondition } from '#lib/condition/index.ts'
import { conditionTests } from '#lib/condition/fields.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import { isEventType, matchesPattern } from '#lib/event-pattern.ts'
import { type Path, readPath } from '#lib/json/path.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { pastEvent, sampleOfType, subscriptionWarnings, type TrialEvent } from '#modules/event/index.ts'
import { checkWithinScopes, checkSubscriptions } from '../settings/checks.ts'
import { found, type PluginContext } from '../context.ts'
import { refuseInvalid } from '../errors.ts'
import { findPlugin } from '../repository.ts'
import { storedSubscription } from '../settings/subscription.ts'
import { isSlug } from '../slug.ts'
import type { SubscriptionTrial, SubscriptionTrialInput } from './schemas.ts'

/** Tests of filters that are shown one by one: each may cause as many comparisons as a whole filter. */
const MAX_TESTS_SHOWN = 100

/** Says which of a plugin's subscriptions take an event, and of the others why they do not. */
export async function trySubscriptions(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  input: SubscriptionTrialInput,
): Promise<SubscriptionTrial> {
  const row = found(isSlug(slug) ? await findPlugin(ctx.db, tenantId, slug) : undefined, actor)
  refuseInvalid(checkSubscriptions(input.events ?? []))
  const given = input.events?.map(storedSubscription)
  refuseInvalid(checkWithinScopes({ events: given ?? [], scopes: row.scopes }))
  const subscriptions = given ?? row.subscriptions
  const { origin, ...trial } = await eventOf(ctx, actor, tenantId, input)
  let shown = 0
  const tried = subscriptions.map((subscription) => {
    const result = trySubscription(subscription, trial, MAX_TESTS_SHOWN - shown)
    shown += result.tests.length
    return result
  })
  const isOwn = trial.publisherPluginId === row.id && !row.include_own
  const isTaken = tried.some(({ matches }) => matches)
  const isWanted = tried.some(({ reason }) => reason !== 'other_type')
  return {
    event: trial.event,
    event_id: trial.id,
    data_from: origin,
    matches: isTaken && !isOwn,
    reason: isOwn ? 'own' : isTaken ? null : isWanted ? 'filtered' : 'not_subscribed',
    subscriptions: tried,
    warnings: await subscriptionWarnings(ctx.db, tenantId, subscriptions),
  }
}

async function eventOf(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  { event_id: id, event, data }: SubscriptionTrialInput,
): Promise<TrialEvent & { origin: SubscriptionTrial['data_from'] }> {
  if (id !== undefined) {
    const errors: FieldError[] = (['event', 'data'] as const)
      .filter((name) => ({ event, data })[name] !== undefined)
      .map((name) => ({ pointer: `/${name}`, detail: 'goes without event_id, which stands for both' }))
    refuseInvalid(errors)
    return { ...(await pastEvent(ctx.db, tenantId, actor.pluginId, id)), origin: 'event' }
  }
  if (event === undefined) {
    refuseInvalid([{ pointer: '/event', detail: 'is required: an event type, or give event_id' }])
  } else if (!isEventType(event)) {
    refuseInvalid([{ pointer: '/event', detail: 'must be an event type such as product.created' }])
  }
  const type = event as string
  const given = { id: null, event: type, receivedAt: new Date(now()), publisherPluginId: null }
  if (data !== undefined) return { ...given, data, origin: 'given' }
  const sample = await sampleOfType(ctx.db, actor, tenantId, type)
  if (sample === undefined) {
    refuseInvalid([{ pointer: '/data', detail: 'is required: the type has no sample' }])
  }
  return { ...given, data: sample, origin: 'sample' }
}

type Tried = SubscriptionTrial['subscriptions'][number]

function trySubscription(
  { event: pattern, filter }: StoredSubscription,
  { event, data, receivedAt }: TrialEvent,
  testsLeft: number,
): Tried {
  const tried = { event: pattern, ...(filter !== null && { filter }) }
  if (!matchesPattern(pattern, event)) return { ...tried, matches: false, reason: 'other_type', tests: [] }
  if (filter === null) return { ...tried, matches: true, reason: null, tests: [] }
  const context = { now: receivedAt, earlier: (field: Path) => earlierValue(data, field) }
  const { result } = evaluateCondition(filter, data, context)
  const tests = conditionTests(filter)
    // A test of a list's items is part of the test of the list.
    .filter(({ pointer }) => !pointer.includes('/value'))
    .slice(0, Math.max(0, testsLeft))
    .map(({ pointer, test, path }) => {
      const value = path === null ? undefined : readPath(data, path)
      const outcome = evaluateCondition(test, data, context)
      return {
        pointer: `/filter${pointer}`,
        field: test.field,
        operator: test.operator,
        ...(test.value !== undefined && { value: test.value }),
        holds: outcome.result,
        present: value !== undefined,
        ...(value !== undefined && { found: value }),
        ...(outcome.notes.length > 0 && { notes: outcome.notes }),
      }
    })
  return { ...tried, matches: result, reason: result ? null : 'filtered', tests }
}
