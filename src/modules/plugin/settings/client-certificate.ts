import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { refusedByTls } from '#infra/egress/index.ts'
import { Timestamp } from '#lib/api/schema.ts'
import { now } from '#lib/clock.ts'
import type { FieldError } from '#lib/api/problem.ts'

/** With issuers, ten of which take about 20 KB. */
const MAX_CHAIN_CHARS = 32 * 1024
const MAX_KEY_CHARS = 16 * 1024
const MAX_CHAIN = 10
/** Every new connection signs with it, in the process's one thread: 4,096 bits take about 3 ms, 8,192 some 20 ms. */
const RSA_BITS = { min: 2048, max: 4096 }
/** Those that TLS servers commonly take. */
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1']
/** A certificate that was made a moment ago on a host whose clock is ahead. */
const CLOCK_SLACK_MS = 5 * 60_000
const DAY_MS = 86_400_000

export const GivenClientCertificate = Type.Object(
  {
    certificate: Type.String({
      minLength: 1,
      maxLength: MAX_CHAIN_CHARS,
      description: 'PEM: the certificate, then those of its issuers as the endpoint needs them',
    }),
    private_key: Type.String({
      minLength: 1,
      maxLength: MAX_KEY_CHARS,
      description: `PEM without a passphrase: RSA of ${RSA_BITS.min} to ${RSA_BITS.max} bits, or EC on P-256, P-384 or P-521`,
    }),
  },
  {
    additionalProperties: false,
    description:
      'Presented to https endpoints that ask for a client certificate (mutual TLS), with every request to the plugin. ' +
      'Only admins give or remove it; the key is encrypted at rest and never shown. A PUT without it keeps it; null removes it',
  },
)
export type GivenClientCertificate = Static<typeof GivenClientCertificate>

export const ShownClientCertificate = Type.Object(
  {
    subject: Type.String(),
    issuer: Type.String(),
    serial_number: Type.String({ description: 'In hexadecimal' }),
    fingerprint_sha256: Type.String({ description: 'In hexadecimal, with colons' }),
    not_before: Timestamp,
    not_after: Timestamp,
    expires_in_days: Type.Integer({ description: 'Whole days that are left; negative: it has expired' }),
  },
  { description: 'The client certificate that is presented; its key is never shown' },
)
type ShownClientCertificate = Static<typeof ShownClientCertificate>

/** A certificate with its key as they are stored: PEM, and nothing but that. */
export type ClientCertificate = GivenClientCertificate

const CERTIFICATE = 'CERTIFICATE'
/** Stands before a key of elliptic curves where openssl wrote it. */
const EC_PARAMETERS = 'EC PARAMETERS'

interface PemBlock {
  label: string
  text: string
}

/** Returns the blocks of a PEM file; what stands between them, as openssl writes it, is left out. */
function readPem(text: string): PemBlock[] {
  return text
    .split('-----BEGIN ')
    .slice(1)
    .flatMap((part) => {
      const label = part.slice(0, part.indexOf('-----'))
      const end = `-----END ${label}-----`
      const endsAt = part.indexOf(end)
      return endsAt < 0 ? [] : [{ label, text: `-----BEGIN ${part.slice(0, endsAt)}${end}\n` }]
    })
}

class Fault extends Error {}

function readChain(text: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = readPem(text)
  const other = blocks.find(({ label }) => label !== CERTIFICATE)
  if (other?.label.endsWith('PRIVATE KEY') === true) {
    throw new Fault('must not hold a private key: give that as private_key')
  }
  if (other !== undefined) {
    throw new Fault(`must hold certificates (-----BEGIN CERTIFICATE-----), not "${other.label.slice(0, 40)}"`)
  }
  if (blocks.length > MAX_CHAIN) throw new Fault(`must hold at most ${MAX_CHAIN} certificates`)
  const chain = blocks.map((block, index) => {
    try {
      return new X509Certificate(block.text)
    } catch (cause) {
      throw new Fault(`cannot be read: ${ordinal(index)} is not a certificate`, { cause })
    }
  })
  const [own, ...issuers] = chain
  if (own === undefined) throw new Fault('must be in PEM: -----BEGIN CERTIFICATE----- and so on')
  const stranger = issuers.findIndex((issuer, index) => chain[index]?.checkIssued(issuer) !== true)
  if (stranger >= 0) {
    const detail = `did not issue the one before it: put the plugin's own certificate first, each issuer behind it`
    throw new Fault(`is not a chain: ${ordinal(stranger + 1)} ${detail}`)
  }
  return [own, ...issuers]
}

function refuseOutOfTime({ validFromDate: from, validToDate: to }: X509Certificate): void {
  if (to.getTime() <= now()) throw new Fault(`has expired, at ${to.toISOString()}: send a newer one`)
  if (from.getTime() > now() + CLOCK_SLACK_MS) {
    throw new Fault(`is not valid before ${from.toISOString()}: send it then`)
  }
}

function ordinal(index: number): string {
  return `certificate ${index + 1}`
}

function readKey(text: string): KeyObject {
  const blocks = readPem(text).filter(({ label }) => label !== EC_PARAMETERS)
  const [block, second] = blocks
  if (block === undefined) throw new Fault('must be in PEM: -----BEGIN PRIVATE KEY----- and so on')
  if (second !== undefined) throw new Fault('must hold one key and nothing else')
  const { label } = block
  if (label.startsWith('ENCRYPTED') || /^Proc-Type: *4,ENCRYPTED/m.test(block.text)) {
    throw new Fault('is encrypted: give it without its passphrase, as "openssl pkey -in key.pem" prints it')
  }
  if (!label.endsWith('PRIVATE KEY')) {
    throw new Fault(`must hold a private key (-----BEGIN PRIVATE KEY-----), not "${label.slice(0, 40)}"`)
  }
  let key: KeyObject
  try {
    key = createPrivateKey(block.text)
  } catch (cause) {
    throw new Fault('is not a private key that can be read', { cause })
  }
  const fault = keyFault(key)
  if (fault !== null) throw new Fault(fault)
  return key
}

function keyFault({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): string | null {
  if (type === 'rsa' || type === 'rsa-pss') {
    const { modulusLength: bits = 0 } = details
    const { min, max } = RSA_BITS
    return bits >= min && bits <= max ? null : `must have ${min} to ${max} bits, not ${bits}`
  }
  if (type !== 'ec') return `must be an RSA or EC key, not ${type ?? 'another'}`
  const curve = details.namedCurve ?? 'unnamed'
  return CURVES.includes(curve) ? null : `must be on P-256, P-384 or P-521, not on the curve ${curve}`
}

/** Says what is wrong with a certificate and its key; empty: it can be presented. */
export function checkClientCertificate(given: GivenClientCertificate): FieldError[] {
  const chain = attempt('certificate', () => {
    const read = readChain(given.certificate)
    refuseOutOfTime(read[0])
    return read
  })
  const key = attempt('private_key', () => readKey(given.private_key))
  if (chain.error !== null || key.error !== null) {
    return [chain.error, key.error].filter((error) => error !== null)
  }
  const fit = attempt('private_key', () => refuseUnfit(chain.value, key.value))
  return fit.error === null ? [] : [fit.error]
}

function refuseUnfit([own, ...issuers]: readonly X509Certificate[], key: KeyObject): void {
  if (own?.checkPrivateKey(key) !== true) {
    const publicKey = createPublicKey(key)
    const fitting = issuers.findIndex((issuer) => issuer.publicKey.equals(publicKey))
    throw new Fault(
      fitting < 0
        ? 'does not belong to the certificate: its public key is another one'
        : `belongs to ${ordinal(fitting + 1)}: the certificate of this key must come first`,
    )
  }
  const code = refusedByTls({ chain: own.toString(), key: pemOf(key) })
  if (code !== null) throw new Fault(`and its certificate are not taken by TLS (${code})`)
}

type Attempt<T> = { value: T; error: null } | { value: null; error: FieldError }

function attempt<T>(name: keyof GivenClientCertificate, work: () => T): Attempt<T> {
  try {
    return { value: work(), error: null }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { value: null, error: { pointer: `/client_certificate/${name}`, detail: error.message } }
  }
}

/** @param given what `checkClientCertificate` has found to be right */
export function storedClientCertificate(given: GivenClientCertificate): ClientCertificate {
  return {
    certificate: readChain(given.certificate).join(''),
    private_key: pemOf(readKey(given.private_key)),
  }
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

export function shownClientCertificate({ certificate }: ClientCertificate): ShownClientCertificate {
  const own = new X509Certificate(certificate)
  return {
    subject: nameOf(own.subject),
    issuer: nameOf(own.issuer),
    serial_number: own.serialNumber,
    fingerprint_sha256: own.fingerprint256,
    not_before: own.validFromDate,
    not_after: own.validToDate,
    expires_in_days: Math.floor((own.validToDate.getTime() - now()) / DAY_MS),
  }
}

/** So long before a certificate ends people are warned. */
export const EXPIRY_WARNING_DAYS = 14
/** The extended key usage of those who connect (RFC 5280, 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** Says what may keep a certificate from being of use, though it is right. */
export function clientCertificateWarnings(
  { certificate }: ClientCertificate,
  urls: readonly { name: string; url: string }[],
): FieldError[] {
  const own = new X509Certificate(certificate)
  const warn = (detail: string): FieldError => ({ pointer: '/client_certificate', detail })
  // Node names it so, and lists none where the certificate is for everything.
  const usages = own.keyUsage as readonly string[] | undefined
  return [
    ...(own.validToDate.getTime() <= now() + EXPIRY_WARNING_DAYS * DAY_MS
      ? [warn(`ends at ${own.validToDate.toISOString()}: requests are sent without a valid one from then on`)]
      : []),
    ...(usages === undefined || usages.includes(CLIENT_AUTH)
      ? []
      : [warn('is not made for clients (its extended key usage lacks clientAuth): many servers refuse it')]),
    ...urls
      .filter(({ url }) => !url.startsWith('https:'))
      .map(({ name }) => warn(`is not presented to ${name}, which is not https`)),
  ]
}

/** When the certificate itself ends; its issuers' ends are theirs to see to. */
export function endOfClientCertificate({ certificate }: ClientCertificate): Date {
  return new X509Certificate(certificate).validToDate
}

/** Node writes a part on each line, and leaves out the name of who has none. */
function nameOf(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}
