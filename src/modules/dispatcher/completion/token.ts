import { readJson } from '#db/json.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'

/** The content of a completion token. */
export interface CompletionClaim {
  tenantId: string
  invocationId: string
  /** The time of the action's claim, in microseconds of the database's clock. */
  claimedAt: number
  /** The plugin that it was given to, and the plugin's signing secret then. Missing in tokens of older releases. */
  pluginId?: string
  secretId?: string | null
  /** For an action that has no row before its answer; null: it has one. */
  early: EarlyCompletion | null
}

/** The values of the row of an action that is completed before its call is answered. */
export interface EarlyCompletion {
  /** Epoch milliseconds: as long as if its call had been answered with 202. */
  until: number
  flowExecutionId: string
  eventKey: string
  actionType: string
  pluginId: string | null
}

/**
 * The longest token that a request may bring: one with the longest names (an action's 100 characters, a step's 64, 1,000 items)
 * has some 700, and a claim may grow.
 */
export const MAX_COMPLETION_TOKEN_CHARS = 2048

const CONTEXT = secretContext('dispatcher', 'invocation', 'completion')

/**
 * The token by which a plugin completes an action that it answered with 202: the invocation's name, sealed under the
 * master key, so that nothing has to be stored before the plugin is called, and nobody can make one up or use it for
 * another invocation. Every call has another one, and each completes the invocation, also one from before the master key
 * was rotated (as long as MASTER_KEY_PREVIOUS has that). They end with the invocation: when it has a result, or when
 * its time is over; and with the signing secret that was current when they were made.
 */
export function newCompletionToken(box: SecretBox, claim: CompletionClaim): string {
  return box.seal(JSON.stringify(claim), CONTEXT).toString('base64url')
}

export function readCompletionToken(box: SecretBox, token: string): CompletionClaim | null {
  try {
    // What opens was sealed here.
    return readJson(box.open(Buffer.from(token, 'base64url'), CONTEXT)) as CompletionClaim
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}
