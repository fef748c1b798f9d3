import { Buffer } from 'node:buffer'
import type { ConnectionKind } from '#db/schema.ts'
import { parseGivenSecret } from '#lib/secrets/signature.ts'
import type { FieldError } from '#lib/api/problem.ts'

export const CONNECTION_KINDS = [
  'header',
  'basic',
  'bearer',
  'query',
  'oauth2_client_credentials',
  'webhook_secret',
] as const satisfies readonly ConnectionKind[]

/** The members that `settings` may have, whatever the kind; these are shown. */
export interface ConnectionSettings {
  header?: string
  parameter?: string
  token_url?: string
  scope?: string
  audience?: string
  client_auth?: 'basic' | 'body'
}

/** The members that `values` may have, whatever the kind; these are sealed. */
export interface ConnectionValues {
  value?: string
  token?: string
  username?: string
  password?: string
  client_id?: string
  client_secret?: string
  secret?: string
  previous_secret?: string
  verify_token?: string
}

interface KindFields {
  settings: Partial<Record<keyof ConnectionSettings, Presence>>
  values: Partial<Record<keyof ConnectionValues, Presence>>
}
type Presence = 'required' | 'optional'

const FIELDS: Readonly<Record<ConnectionKind, KindFields>> = {
  header: { settings: { header: 'optional' }, values: { value: 'required' } },
  basic: { settings: {}, values: { username: 'required', password: 'required' } },
  bearer: { settings: {}, values: { token: 'required' } },
  query: { settings: { parameter: 'required' }, values: { value: 'required' } },
  oauth2_client_credentials: {
    settings: { token_url: 'required', scope: 'optional', audience: 'optional', client_auth: 'optional' },
    values: { client_id: 'required', client_secret: 'required' },
  },
  webhook_secret: {
    settings: {},
    values: { secret: 'required', previous_secret: 'optional', verify_token: 'optional' },
  },
}

/** Headers that the service or the transport sets in requests of flows. */
const RESERVED_HEADER =
  /^(?:accept-encoding|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-(?:length|type)|idempotency-key|x-causation-(?:id|depth)|proxy-.+)$/
/** The members by which others sign; whoever guesses one can send. */
const SIGNING = new Set(['secret', 'previous_secret'])
const SIGNING_MIN_BYTES = 8
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
/** One name, with `*.` in front for all below it, and a port if it is not the usual one. */
const HOST =
  /^(?:\*\.)?(?=.{1,253}(?::|$))[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?$|^\[[0-9a-f:.]+\](?::[0-9]{1,5})?$/

/** Returns what of these does not go with the kind, or cannot be sent. */
export function checkFields(
  kind: ConnectionKind,
  settings: ConnectionSettings,
  values: ConnectionValues | undefined,
): FieldError[] {
  const fields = FIELDS[kind]
  return [
    ...presenceFaults('settings', kind, fields.settings, { ...settings }),
    ...(values === undefined ? [] : presenceFaults('values', kind, fields.values, { ...values })),
    ...headerFaults(settings),
    ...Object.entries(values ?? {}).flatMap(([name, value]) => valueFaults(kind, name, value as string)),
  ]
}

/** Returns what is wrong with the hosts that values may be sent to; undefined: none are given. */
export function checkHosts(kind: ConnectionKind, hosts: readonly string[] | undefined): FieldError[] {
  if (kind === 'webhook_secret') {
    const isGiven = hosts !== undefined && hosts.length > 0
    const detail = 'is not of the kind webhook_secret: what comes is verified by it, and it is sent nowhere'
    return isGiven ? [{ pointer: '/hosts', detail }] : []
  }
  if (hosts === undefined) return []
  if (hosts.length === 0) return [{ pointer: '/hosts', detail: 'must have at least one host' }]
  return hosts.flatMap((host, index) =>
    HOST.test(host)
      ? []
      : [
          {
            pointer: `/hosts/${index}`,
            detail:
              'must be a host in lower case, such as api.example.com, *.example.com or example.com:8443',
          },
        ],
  )
}

function presenceFaults(
  member: 'settings' | 'values',
  kind: ConnectionKind,
  fields: Partial<Record<string, Presence>>,
  given: Record<string, unknown>,
): FieldError[] {
  const names = Object.keys(fields).join(', ')
  const has = (name: string): boolean => given[name] !== undefined
  const foreign = Object.keys(given)
    .filter((name) => has(name) && fields[name] === undefined)
    .map((name) => ({
      pointer: `/${member}/${name}`,
      detail: `is not of the kind ${kind}: ${names === '' ? `it has no ${member}` : `it has ${names}`}`,
    }))
  const missing = Object.entries(fields)
    .filter(([name, presence]) => presence === 'required' && !has(name))
    .map(([name]) => ({ pointer: `/${member}/${name}`, detail: `is required for the kind ${kind}` }))
  return [...foreign, ...missing]
}

function headerFaults({ header }: ConnectionSettings): FieldError[] {
  if (header === undefined || !RESERVED_HEADER.test(header.toLowerCase())) return []
  return [
    {
      pointer: '/settings/header',
      detail: 'is a header that the service or the transport sets: choose another',
    },
  ]
}

function signingFaults(pointer: string, secret: string): FieldError[] {
  if (secret.startsWith('whsec_') && parseGivenSecret(secret) === null) {
    return [
      { pointer, detail: 'must be base64 of at least 16 bytes after whsec_, as the other side shows it' },
    ]
  }
  if (Buffer.byteLength(secret) >= SIGNING_MIN_BYTES) return []
  return [{ pointer, detail: `must have at least ${SIGNING_MIN_BYTES} bytes: a shorter one can be guessed` }]
}

/** Basic's user and password are encoded; all else goes into a header as it is, or into a form or query. */
function valueFaults(kind: ConnectionKind, name: string, value: string): FieldError[] {
  const pointer = `/values/${name}`
  if (name === 'username' && value.includes(':')) {
    return [{ pointer, detail: 'must not have a colon: what follows it would be read as the password' }]
  }
  if (kind === 'webhook_secret' && SIGNING.has(name)) return signingFaults(pointer, value)
  if (kind !== 'header' && kind !== 'bearer') return []
  return PRINTABLE.test(value)
    ? []
    : [{ pointer, detail: 'must be printable ASCII, without spaces at its ends' }]
}
