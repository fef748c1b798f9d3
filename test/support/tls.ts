import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

/** A certificate with its key, as PEM. */
export interface Certificate {
  cert: string
  key: string
}

export interface CertificateOptions {
  /** DNS names and addresses that it is for. */
  names: readonly string[]
  /** Default: yesterday. */
  notBefore?: Date
  /** Default: tomorrow. */
  notAfter?: Date
  /** Without one it signs itself. */
  issuer?: Authority
  /** Default: EC on P-256. */
  keys?: KeyPair
  /** OIDs; default: for everything. */
  extendedKeyUsage?: readonly string[]
}

export interface KeyPair {
  publicKey: KeyObject
  privateKey: KeyObject
}

/** A certificate that may issue others. */
export interface Authority extends Certificate {
  name: string
  privateKey: KeyObject
}

const DAY_MS = 86_400_000

/** @param issuer without one it signs itself */
export function createAuthority(name: string, issuer?: Authority): Authority {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const cert = encodeCertificate({
    subject: name,
    issuer: issuer?.name ?? name,
    publicKey: pair.publicKey,
    signingKey: issuer?.privateKey ?? pair.privateKey,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    // BasicConstraints, critical, CA: TRUE
    extensions: [sequence(oid('2.5.29.19'), TRUE, octetString(sequence(TRUE)))],
  })
  return { name, privateKey: pair.privateKey, cert, key: exportKey(pair.privateKey) }
}

/** X.509 made by hand: Node reads certificates but makes none, and fixtures would expire or leak a key. */
export function createCertificate(options: CertificateOptions): Certificate {
  const pair = options.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const subject = options.names[0] ?? 'nobody'
  const cert = encodeCertificate({
    subject,
    issuer: options.issuer?.name ?? subject,
    publicKey: pair.publicKey,
    signingKey: options.issuer?.privateKey ?? pair.privateKey,
    notBefore: options.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + DAY_MS),
    extensions: [
      sequence(oid('2.5.29.17'), octetString(sequence(...options.names.map(alternativeName)))),
      ...(options.extendedKeyUsage === undefined
        ? []
        : [sequence(oid('2.5.29.37'), octetString(sequence(...options.extendedKeyUsage.map(oid))))]),
    ],
  })
  return { cert, key: exportKey(pair.privateKey) }
}

interface CertificateFields {
  subject: string
  issuer: string
  publicKey: KeyObject
  signingKey: KeyObject
  notBefore: Date
  notAfter: Date
  extensions: readonly Buffer[]
}

/** RFC 5280, section 4.1. */
function encodeCertificate(fields: CertificateFields): string {
  const algorithm =
    fields.signingKey.asymmetricKeyType === 'rsa'
      ? sequence(oid('1.2.840.113549.1.1.11'), tag(0x05))
      : fields.signingKey.asymmetricKeyType === 'ed25519'
        ? sequence(oid('1.3.101.112'))
        : sequence(oid('1.2.840.10045.4.3.2'))
  const digest = fields.signingKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const toBeSigned = sequence(
    tag(0xa0, integer(Buffer.of(2))),
    integer(serial),
    algorithm,
    commonName(fields.issuer),
    sequence(generalizedTime(fields.notBefore), generalizedTime(fields.notAfter)),
    commonName(fields.subject),
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    tag(0xa3, sequence(...fields.extensions)),
  )
  const der = sequence(toBeSigned, algorithm, bitString(sign(digest, toBeSigned, fields.signingKey)))
  const lines = der.toString('base64').replaceAll(/.{1,64}/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`
}

function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function alternativeName(name: string): Buffer {
  if (isIP(name) === 4) return tag(0x87, Buffer.from(name.split('.').map(Number)))
  return tag(0x82, Buffer.from(name, 'ascii'))
}

const TRUE = tag(0x01, Buffer.of(0xff))

function tag(type: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  if (body.length < 0x80) return Buffer.concat([Buffer.of(type, body.length), body])
  const length = Buffer.from(body.length.toString(16).padStart(4, '0'), 'hex')
  return Buffer.concat([Buffer.of(type, 0x82), length, body])
}

function sequence(...items: Buffer[]): Buffer {
  return tag(0x30, ...items)
}

function integer(bytes: Buffer): Buffer {
  return tag(0x02, bytes)
}

function octetString(content: Buffer): Buffer {
  return tag(0x04, content)
}

function bitString(content: Buffer): Buffer {
  return tag(0x03, Buffer.of(0), content)
}

function generalizedTime(date: Date): Buffer {
  const text = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return tag(0x18, Buffer.from(text, 'ascii'))
}

function commonName(name: string): Buffer {
  return sequence(tag(0x31, sequence(oid('2.5.4.3'), tag(0x0c, Buffer.from(name, 'utf8')))))
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tag(0x06, Buffer.from(bytes))
}
