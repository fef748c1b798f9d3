/** A mail server on this machine that prints what it gets, for trying the email plugin with. */
import { openMailbox } from '#examples/demo/mailbox.ts'

const mailbox = await openMailbox(Number(process.env['PORT'] ?? 1025), ({ to, subject }) => {
  const recipients = to?.map(({ address }) => address).join(', ') ?? 'nobody'
  console.log(`mail to ${recipients}: ${subject ?? 'without a subject'}`)
})
console.log(`listening on ${mailbox.url}`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void mailbox.close().then(() => process.exit(0)))
}
