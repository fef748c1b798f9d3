import { LRUCache } from 'lru-cache'
import { matchesPattern } from '#lib/event-pattern.ts'
import { parseStoredJson } from '#lib/json/index.ts'
import { chooseMembers, memberAt, type Members, membersOf } from '#lib/json/choose.ts'

/** Says what of an event a subscription has sent: at most one of these is given. */
export interface PayloadChoice {
  include?: readonly string[]
  exclude?: readonly string[]
  payload?: 'thin'
}

const THIN = 'thin'
const REMEMBERED_MAX = 1_000
/** Text of all choices that are remembered, in characters: one may have 13,000. */
const REMEMBERED_MAX_CHARS = 1_000_000

/** The choice as a delivery keeps it, in one line; null: all of the event. */
export function payloadOf({ include, exclude, payload }: PayloadChoice): string | null {
  if (payload === 'thin') return THIN
  if (include !== undefined) return JSON.stringify({ include })
  return exclude === undefined ? null : JSON.stringify({ exclude })
}

/**
 * The choice for an event that never went to the plugin and is sent all the same: of the first subscription to its type that has
 * one, whatever its filter says, as nobody is to get more than was ever meant for them.
 */
export function payloadByType(
  subscriptions: readonly (PayloadChoice & { event: string })[],
  event: string,
): string | null {
  for (const subscription of subscriptions) {
    if (!matchesPattern(subscription.event, event)) continue
    const payload = payloadOf(subscription)
    if (payload !== null) return payload
  }
  return null
}

interface Choice {
  mode: 'include' | 'exclude'
  members: Members
}

const choices = new LRUCache<string, Choice>({
  max: REMEMBERED_MAX,
  maxSize: REMEMBERED_MAX_CHARS,
  sizeCalculation: (_, payload) => payload.length,
})

function choiceOf(payload: string): Choice {
  let choice = choices.get(payload)
  if (choice === undefined) {
    const { include, exclude } = parseStoredJson(payload) as { include?: string[]; exclude?: string[] }
    const paths = (include ?? exclude ?? []).map((path) => path.split('.'))
    choice = { mode: include === undefined ? 'exclude' : 'include', members: membersOf(paths) }
    choices.set(payload, choice)
  }
  return choice
}

/**
 * Returns what is sent of an event's body by a delivery's choice: the same at every attempt, as both are decided when the event comes.
 *
 * @param origin what the service is called by from outside; null: nobody has said so, and links are paths
 */
export function bodyToSend(
  body: string,
  payload: string | null,
  { eventId, origin }: { eventId: string; origin: string | null },
): string {
  if (payload === null) return body
  const place = memberAt(body, 'data')
  if (place === null) return body
  const [start, end] = place
  if (payload === THIN) {
    const data = { id: eventId, url: `${origin ?? ''}/api/events/${eventId}` }
    return body.slice(0, start) + JSON.stringify(data) + body.slice(end)
  }
  const { mode, members } = choiceOf(payload)
  return body.slice(0, start) + chooseMembers(body.slice(start, end), members, mode) + body.slice(end)
}
