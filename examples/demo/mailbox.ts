import type { AddressInfo } from 'node:net'
import PostalMime, { type Email } from 'postal-mime'
import { SMTPServer } from 'smtp-server'

export interface Mailbox {
  /** `smtp://127.0.0.1:…` */
  url: string
  port: number
  /** What came, in order. */
  mails: Email[]
  close(): Promise<void>
}

/** Recipients at this domain do not exist. */
export const UNKNOWN_DOMAIN = 'nowhere.example'

/** A mail server on loopback that keeps every mail it gets, and tells of each. */
export async function openMailbox(
  port = 0,
  onMail: (mail: Email) => void = () => undefined,
): Promise<Mailbox> {
  const mails: Email[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo: ({ address }, _session, done) => {
      const known = !address.endsWith(`@${UNKNOWN_DOMAIN}`)
      done(known ? null : Object.assign(new Error('No such mailbox'), { responseCode: 550 }))
    },
    onData: (stream, _session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        PostalMime.parse(Buffer.concat(chunks)).then((mail) => {
          mails.push(mail)
          onMail(mail)
          done()
        }, done)
      })
    },
  })
  // A client that breaks off is its own affair.
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const { port: taken } = server.server.address() as AddressInfo
  let closed: Promise<void> | null = null
  return {
    url: `smtp://127.0.0.1:${taken}`,
    port: taken,
    mails,
    close: () => (closed ??= new Promise<void>((resolve) => server.close(resolve))),
  }
}
