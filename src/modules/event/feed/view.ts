import { readJson } from '#db/json.ts'
import { memberAt } from '#lib/json/choose.ts'
import { WrittenJson } from '#lib/json/written.ts'
import { MAX_CAUSATION_DEPTH } from '../intake/causation.ts'
import type { ShownEvent } from './repository.ts'
import type { FeedEvent } from './schemas.ts'

/** The event as the API shows it. */
export function viewEvent(row: ShownEvent): FeedEvent {
  const body = row.body === null ? null : splitBody(row.body)
  return {
    id: row.id,
    source_id: row.source_id,
    event: row.event,
    source: row.source,
    publisher: row.publisher ?? 'platform',
    publisher_plugin_id: row.publisher_plugin_id,
    key_id: row.key_id,
    timestamp: body?.timestamp ?? row.occurred_at,
    received_at: row.received_at,
    ...(body === null ? { body_gone: row.body_gone } : { data: body.data }),
    ...(body?.cloudevent !== undefined && { cloudevent: body.cloudevent }),
    ...(row.schema_problems !== null && { schema_problems: row.schema_problems }),
    ...((row.causation_id !== null || row.causation_depth > 0) && {
      causation: {
        event_id: row.causation_id,
        depth: row.causation_depth,
        ...(row.causation_depth > MAX_CAUSATION_DEPTH && { stopped: true }),
      },
    }),
  }
}

/** The event's data; undefined when its body is gone. */
export function readBody(row: Pick<ShownEvent, 'body'>): unknown {
  return row.body === null ? undefined : (readJson(row.body) as StoredBody).data
}

/** Parses all but the data, which are shown as they were written. */
function splitBody(text: string): StoredBody {
  const place = memberAt(text, 'data')
  if (place === null) return readJson(text) as StoredBody
  const [start, end] = place
  const rest = readJson(`${text.slice(0, start)}null${text.slice(end)}`) as StoredBody
  return { ...rest, data: new WrittenJson(text.slice(start, end)) }
}

interface StoredBody {
  timestamp: string
  data: unknown
  cloudevent?: Record<string, unknown>
}
