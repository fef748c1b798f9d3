import type { ErrorClass } from '#db/schema.ts'

/** The kinds of failure of an outgoing request, in the order in which they can occur. */
export const EGRESS_ERROR_CLASSES = [
  'dns_error',
  'blocked',
  'connect_refused',
  'connect_timeout',
  'tls_error',
  'timeout',
  'reset',
  'protocol_error',
  'response_too_large',
  'redirect',
  'http_4xx',
  'http_5xx',
] as const satisfies readonly ErrorClass[]
