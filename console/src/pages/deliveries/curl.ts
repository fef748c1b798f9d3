import type { Schema } from '../../api/client.ts'

export type SentRequest = NonNullable<Schema['DeliveryAttempt']['request']>

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** The attempt as a command. Its signature and secret headers are redacted, so that a receiver which checks them refuses it. */
export function curlOf({ method, url, headers }: SentRequest, body: string | null): string {
  return [
    `curl -X ${method} ${quoted(url)}`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    ...(body === null ? [] : [`--data-binary ${quoted(body)}`]),
  ].join(' \\\n  ')
}
