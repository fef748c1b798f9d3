import { createHash, randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Database } from './database.ts'
import { unprocessable } from './errors.ts'
import { causationOf, type Outbox } from './outbox.ts'

export interface Shop {
  db: Database
  outbox: Outbox
}

/** One transaction: what it writes, what it tells of and what it answers are kept together or not at all. */
export interface Change {
  db: Database
  tenantId: string
  /** RFC 3339. */
  now: string
  /** The caller acts for an automation, not for a person. */
  automated: boolean
  emit(event: string, data: object): void
}

export interface Answer {
  status: number
  body: object
}

const ANSWERS_KEPT_MS = 30 * 24 * 3600 * 1000
const KEY_MAX_CHARS = 255

/**
 * Does `work` in a transaction. With an Idempotency-Key it is done once: the same request again gets the same answer,
 * another request with that key a 422. Failures are not kept, so a request that failed may be tried again.
 */
export function change(
  { db, outbox }: Shop,
  request: FastifyRequest,
  reply: FastifyReply,
  work: (change: Change) => Answer,
): FastifyReply {
  const { tenantId } = request
  const key = request.headers['idempotency-key']
  const now = new Date().toISOString()
  const causation = causationOf(request.headers)
  const automated = causation !== null && causation.depth > 0
  const emit = (event: string, data: object): void => outbox.add({ tenantId, event, data, now, causation })
  const doWork = (): Answer => work({ db, tenantId, now, automated, emit })
  const { status, body, replayed } = db.transaction(() => {
    if (key === undefined) return { ...doWork(), replayed: false }
    if (typeof key !== 'string' || key.length === 0 || key.length > KEY_MAX_CHARS) {
      throw unprocessable(
        'invalid_idempotency_key',
        `Give an Idempotency-Key of 1 to ${KEY_MAX_CHARS} characters.`,
      )
    }
    return once(db, { tenantId, key, now, fingerprint: fingerprintOf(request) }, doWork)
  })
  outbox.wake()
  if (replayed) void reply.header('idempotency-replayed', 'true')
  return reply.code(status).send(body)
}

/** Ids say what they are of: `prod_…`. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(9).toString('base64url')}`
}

function once(
  db: Database,
  call: { tenantId: string; key: string; now: string; fingerprint: string },
  doWork: () => Answer,
): Answer & { replayed: boolean } {
  const { tenantId, key, now, fingerprint } = call
  const known = db.get<{ fingerprint: string; status: number; body: string }>(
    'select fingerprint, status, body from answers where tenant_id = ? and key = ?',
    tenantId,
    key,
  )
  if (known !== undefined) {
    if (known.fingerprint !== fingerprint) {
      throw unprocessable('idempotency_key_reused', 'This Idempotency-Key came with another request before.')
    }
    return { status: known.status, body: JSON.parse(known.body) as object, replayed: true }
  }
  const answer = doWork()
  const old = new Date(Date.parse(now) - ANSWERS_KEPT_MS).toISOString()
  db.run('delete from answers where tenant_id = ? and created_at < ?', tenantId, old)
  db.insert('answers', {
    tenant_id: tenantId,
    key,
    fingerprint,
    status: answer.status,
    body: JSON.stringify(answer.body),
    created_at: now,
  })
  return { ...answer, replayed: false }
}

function fingerprintOf({ method, url, body }: FastifyRequest): string {
  return createHash('sha256')
    .update(`${method} ${url}\n${JSON.stringify(body ?? null)}`)
    .digest('hex')
}
