import { secretContext } from '../../infra/secrets.ts'
import { isUuid } from '../../lib/ids.ts'
import { type SecretBox, SecretBoxError } from '../../lib/secret-box.ts'

/** What a completion token stands for. */
export interface CompletionClaim {
  tenantId: string
  invocationId: string
  /** When the action was claimed, in microseconds of the database's clock. */
  claimedAt: number
}

const CONTEXT = secretContext('dispatcher', 'invocation', 'completion')

/**
 * The token by which a plugin completes an action that it answered with 202: the invocation's name, sealed, so that
 * nothing has to be stored before the plugin is called, and the token of a call that a crash cut off stays good. It
 * works once: completing ends the invocation, and tokens from before an end are void when it is done again.
 */
export function newCompletionToken(box: SecretBox, claim: CompletionClaim): string {
  return box.seal(`${claim.tenantId}/${claim.invocationId}/${claim.claimedAt}`, CONTEXT).toString('base64url')
}

export function readCompletionToken(box: SecretBox, token: string): CompletionClaim | null {
  try {
    const text = box.open(Buffer.from(token, 'base64url'), CONTEXT)
    const [tenantId = '', invocationId = '', claimedAt = ''] = text.split('/')
    if (!isUuid(tenantId) || !isUuid(invocationId)) return null
    return { tenantId, invocationId, claimedAt: Number(claimedAt) }
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}
