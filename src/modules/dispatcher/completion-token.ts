import { secretContext } from '../../infra/secrets.ts'
import { isUuid } from '../../lib/ids.ts'
import { type SecretBox, SecretBoxError } from '../../lib/secret-box.ts'

/** What a completion token stands for. */
export interface CompletionClaim {
  tenantId: string
  invocationId: string
}

const CONTEXT = secretContext('dispatcher', 'invocation', 'completion')

/**
 * The token by which a plugin completes an action that it answered with 202: the invocation's name, sealed, so that
 * nothing has to be stored before the plugin is called. It works once, because completing changes the status.
 */
export function newCompletionToken(box: SecretBox, tenantId: string, invocationId: string): string {
  return box.seal(`${tenantId}/${invocationId}`, CONTEXT).toString('base64url')
}

export function readCompletionToken(box: SecretBox, token: string): CompletionClaim | null {
  try {
    const [tenantId = '', invocationId = ''] = box.open(Buffer.from(token, 'base64url'), CONTEXT).split('/')
    return isUuid(tenantId) && isUuid(invocationId) ? { tenantId, invocationId } : null
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}
