import { readJson, type Schema } from '../../../api/client.ts'

/** A subscription as it is written: its filter as text. */
export interface SubscriptionDraft {
  event: string
  filter: string
}

export function draftsOf(events: readonly Schema['Subscription'][]): SubscriptionDraft[] {
  return events.map((each) => ({
    event: typeof each === 'string' ? each : each.event,
    filter: typeof each === 'string' || each.filter == null ? '' : JSON.stringify(each.filter, null, 2),
  }))
}

/** What is sent of them; lines without an event are left out. */
export function eventsOf(drafts: readonly SubscriptionDraft[]): Schema['Subscription'][] {
  return drafts
    .filter(({ event }) => event.trim() !== '')
    .map(({ event, filter }) => ({
      event: event.trim(),
      ...(filter.trim() !== '' && { filter: readJson(filter) }),
    }))
}

/** The same, or null while a filter is no JSON. */
export function readEvents(drafts: readonly SubscriptionDraft[]): Schema['Subscription'][] | null {
  try {
    return eventsOf(drafts)
  } catch {
    return null
  }
}
