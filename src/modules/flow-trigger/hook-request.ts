import type { IncomingHttpHeaders } from 'node:http'
import type { HookRequest } from '#lib/flow/scope.ts'

/** Headers that say what came, from whom and when, and those of CloudEvents: `ce-…`. */
const SHOWN = new Set([
  ...['content-type', 'user-agent', 'accept-language', 'idempotency-key', 'link'],
  ...['webhook-id', 'webhook-timestamp', 'svix-id', 'svix-timestamp'],
  ...['x-event', 'x-event-id', 'x-event-name', 'x-event-type', 'x-request-id', 'x-gitlab-event'],
  ...['x-github-event', 'x-github-delivery', 'x-github-hook-id', 'x-github-hook-installation-target-id'],
  ...['x-github-hook-installation-target-type', 'x-shopify-topic', 'x-shopify-sub-topic', 'x-shopify-name'],
  ...['x-shopify-shop-domain', 'x-shopify-api-version', 'x-shopify-webhook-id', 'x-shopify-event-id'],
  ...['x-shopify-triggered-at', 'x-slack-request-timestamp', 'x-slack-retry-num', 'x-slack-retry-reason'],
  ...['x-wc-webhook-topic', 'x-wc-webhook-resource', 'x-wc-webhook-event', 'x-wc-webhook-source'],
  ...['x-wc-webhook-id', 'x-wc-webhook-delivery-id'],
])
/** A token has no place in executions; the other name has none in JSON. */
const HIDDEN_PARAMETERS = new Set(['access_token', '__proto__'])

/**
 * Returns what flows may read of a request beside its body: headers of a list and those that the trigger names, and
 * the query without its token.
 *
 * @param named lower-case names
 */
export function hookRequest(
  headers: IncomingHttpHeaders,
  query: unknown,
  named: readonly string[] = [],
): HookRequest {
  const shown = Object.entries(headers).flatMap(([name, value]) =>
    value !== undefined && (SHOWN.has(name) || name.startsWith('ce-') || named.includes(name))
      ? [[name, [value].flat().join(', ').toWellFormed()] as const]
      : [],
  )
  return { headers: Object.fromEntries(shown), query: Object.fromEntries(parametersOf(query)) }
}

function parametersOf(query: unknown): [string, string | string[]][] {
  if (typeof query !== 'object' || query === null) return []
  return Object.entries(query).flatMap(([name, value]): [string, string | string[]][] => {
    if (HIDDEN_PARAMETERS.has(name)) return []
    const text = (each: unknown): string => String(each).toWellFormed()
    return [[name.toWellFormed(), Array.isArray(value) ? value.map(text) : text(value)]]
  })
}
