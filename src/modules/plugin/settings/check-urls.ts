import type { Egress } from '#infra/egress/index.ts'
import { webhookUrlRefused } from '../errors.ts'
import { type Changes, urlsOf } from './settings.ts'

/**
 * Asks the egress door about every URL that is given. It may resolve names, so never inside a transaction.
 * @throws `webhook_url_refused`
 */
export async function checkUrls(egress: Pick<Egress, 'check'>, changes: Changes): Promise<void> {
  const refusals = await Promise.all(
    urlsOf(changes).map(async ({ name, url }) => ({ pointer: `/${name}`, refusal: await egress.check(url) })),
  )
  const errors = refusals.flatMap(({ pointer, refusal }) =>
    refusal === null ? [] : [{ pointer, detail: refusal.detail, reason: refusal.code }],
  )
  const [first] = errors
  if (first !== undefined) throw webhookUrlRefused(first.detail, { errors })
}
