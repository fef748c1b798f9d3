import type { SentRequest } from '#db/schema.ts'
import { REDACTED, redactText } from '#lib/secrets/redact.ts'
import { requestHeaders } from './webhook.ts'

/** The facts from which an attempt's request follows. */
export interface AttemptFacts {
  tenantId: string
  eventId: string
  event: string
  publisher: string
  causationDepth: number
  attempt: number
  startedAt: Date
}

/** An attempt's request as it was sent, all but its body, what is secret redacted. */
export function viewRequest({ url, headers, client_certificate }: SentRequest, facts: AttemptFacts) {
  const { tenantId, eventId, event, publisher, causationDepth, attempt, startedAt } = facts
  const own = Object.fromEntries(headers.map((name) => [name, REDACTED]))
  const sent = requestHeaders(
    { headers: own, keys: [], tenantId },
    {
      id: eventId,
      body: '',
      causationId: eventId,
      causationDepth,
      causationToken: REDACTED,
      event,
      publisher,
      attempt,
    },
    startedAt.getTime(),
  )
  return {
    method: 'POST',
    url: redactText(url),
    headers: { ...sent, 'webhook-signature': REDACTED },
    ...(client_certificate !== undefined && { client_certificate }),
  }
}
