import type { TSchema } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import { withHeaders } from '#lib/api/schema.ts'

/** The answer of a route that sends server-sent events, for its `response` schema. */
export const EVENT_STREAM = withHeaders(
  {
    description: 'The events',
    content: { 'text/event-stream': { schema: Type.String() } },
  } as unknown as TSchema,
  'cache-control',
  'x-accel-buffering',
)

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies that gather answers would hold the events back.
  'x-accel-buffering': 'no',
  // A connection that is kept for a next request would keep a server from closing.
  connection: 'close',
} as const
