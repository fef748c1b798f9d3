import type { Email } from 'postal-mime'
import type { Test } from 'tap'
import { type Mailbox, openMailbox } from '#examples/demo/mailbox.ts'
import { eventually } from '#test/support/deliveries.ts'

export { UNKNOWN_DOMAIN } from '#examples/demo/mailbox.ts'

/** A mail server for a test. */
export async function startMailbox(
  t: Test,
  port = 0,
): Promise<Mailbox & { waitFor(count: number): Promise<Email[]> }> {
  const mailbox = await openMailbox(port)
  t.teardown(() => mailbox.close())
  const { mails } = mailbox
  return {
    ...mailbox,
    waitFor: (count) => eventually(`${count} mails`, () => (mails.length >= count ? mails : null)),
  }
}
