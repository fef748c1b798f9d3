import { secretContext } from '../../infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '../../lib/secret-box.ts'

/** What a completion token stands for. */
export interface CompletionClaim {
  tenantId: string
  invocationId: string
  /** When the action was claimed, in microseconds of the database's clock. */
  claimedAt: number
  /** For an action that has no row before its answer; null: it has one. */
  early: EarlyCompletion | null
}

/** What makes a row of an action that is completed before its call is answered. */
export interface EarlyCompletion {
  /** Epoch milliseconds: until then its call may be under way. */
  until: number
  flowExecutionId: string
  eventKey: string
  actionType: string
  pluginId: string | null
}

const CONTEXT = secretContext('dispatcher', 'invocation', 'completion')

/**
 * The token by which a plugin completes an action that it answered with 202: the invocation's name, sealed, so that
 * nothing has to be stored before the plugin is called, and the token of a call that a crash cut off stays good. It
 * works once: completing ends the invocation, and tokens from before an end are void when it is done again.
 */
export function newCompletionToken(box: SecretBox, claim: CompletionClaim): string {
  return box.seal(JSON.stringify(claim), CONTEXT).toString('base64url')
}

export function readCompletionToken(box: SecretBox, token: string): CompletionClaim | null {
  try {
    // What opens was sealed here.
    return JSON.parse(box.open(Buffer.from(token, 'base64url'), CONTEXT)) as CompletionClaim
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}
