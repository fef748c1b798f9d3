import { api, ask, type Schema } from '../../api/client.ts'

export const REPLAY_STATUSES = ['undelivered', 'failed', 'any', 'sent', 'retry', 'pending'] as const
export type ReplayStatus = (typeof REPLAY_STATUSES)[number]

/** What is sent again: `plugin` empty means all plugins, `since` and `until` are as the browser's fields hold them. */
export interface Selection {
  plugin: string
  since: string
  until: string
  event: string
  status: ReplayStatus
}

/** A time as a field of the browser holds it, in its own time zone, to the minute. */
export function localTime(iso: string): string {
  const time = new Date(iso)
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

function times({ since, until, event }: Selection): { since?: string; until?: string; event?: string } {
  return {
    ...(since !== '' && { since: new Date(since).toISOString() }),
    ...(until !== '' && { until: new Date(until).toISOString() }),
    ...(event.trim() !== '' && { event: event.trim() }),
  }
}

async function send(selection: Selection, isDry: boolean): Promise<unknown> {
  return ask(
    api.POST('/api/plugins/{slug}/replays', {
      params: { path: { slug: selection.plugin } },
      body: {
        ...times(selection),
        ...(selection.status !== 'any' && { status: selection.status }),
        dry_run: isDry,
      },
    }),
  )
}

export async function countReplay(selection: Selection): Promise<Schema['ReplayEstimate']> {
  return (await send(selection, true)) as Schema['ReplayEstimate']
}

export async function startReplay(selection: Selection): Promise<Schema['Replay']> {
  return (await send(selection, false)) as Schema['Replay']
}

/** Counts what one replay for each plugin of the shop would send. */
export async function countRecovery(selection: Selection): Promise<Schema['Recovery']> {
  const { since = '', ...rest } = times(selection)
  return ask(
    api.POST('/api/recoveries', { body: { since, ...rest, status: selection.status, dry_run: true } }),
  )
}

/** Sends what was counted: the same events, whatever came since. */
export async function sendCounted(counted: Schema['Recovery']): Promise<Schema['Recovery']> {
  const { since, until, event, delivery_status: status } = counted
  return ask(
    api.POST('/api/recoveries', {
      body: { since, until, ...(event !== null && { event }), status: status ?? 'any' },
    }),
  )
}
