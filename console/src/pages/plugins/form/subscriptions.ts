import { readJson, type Schema } from '../../../api/client.ts'

/** A subscription as it is written: its filter as text. */
export interface SubscriptionDraft {
  event: string
  filter: string
  /** What else it says, which only the API changes: how the event is sent. */
  rest: Omit<Exclude<Schema['Subscription'], string>, 'event' | 'filter'>
}

export function draftsOf(events: readonly Schema['Subscription'][]): SubscriptionDraft[] {
  return events.map((each) => {
    const { event, filter, ...rest } = typeof each === 'string' ? { event: each } : each
    return { event, filter: filter == null ? '' : JSON.stringify(filter, null, 2), rest }
  })
}

/** What is sent of them; lines without an event are left out. */
export function eventsOf(drafts: readonly SubscriptionDraft[]): Schema['Subscription'][] {
  return drafts
    .filter(({ event }) => event.trim() !== '')
    .map(({ event, filter, rest }) => ({
      event: event.trim(),
      ...(filter.trim() !== '' && { filter: readJson(filter) }),
      ...rest,
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
