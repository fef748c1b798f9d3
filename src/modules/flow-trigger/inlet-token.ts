import { createHash, randomBytes } from 'node:crypto'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import type { InletToken } from './inlet-repository.ts'

const TOKEN_BYTES = 32
/** 32 bytes as base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

export function isInletToken(text: string): boolean {
  return TOKEN.test(text)
}

/** SHA-256: a token has 256 random bits, and what is looked up by it gives its time away and nothing of the token. */
export function hashInletToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

export function newInletToken(
  secretBox: SecretBox,
  tenantId: string,
  flowId: string,
  triggerId: string,
): InletToken & { token: string } {
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  return {
    token,
    hash: hashInletToken(token),
    sealed: secretBox.seal(token, context(tenantId, flowId, triggerId)),
  }
}

/** @returns null if the master key that sealed it is gone: the inlet works, but only rotating shows a URL again */
export function openInletToken(
  secretBox: SecretBox,
  sealed: Buffer,
  tenantId: string,
  flowId: string,
  triggerId: string,
): string | null {
  try {
    return secretBox.open(sealed, context(tenantId, flowId, triggerId))
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}

function context(tenantId: string, flowId: string, triggerId: string): string {
  return secretContext(tenantId, flowId, `inlet.${triggerId}`)
}
