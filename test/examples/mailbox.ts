import type { AddressInfo } from 'node:net'
import PostalMime, { type Email } from 'postal-mime'
import { SMTPServer } from 'smtp-server'
import type { Test } from 'tap'
import { eventually } from './until.ts'

export interface Mailbox {
  url: string
  port: number
  mails: Email[]
  /** Recipients at this domain do not exist. */
  unknownDomain: string
  waitFor(count: number): Promise<Email[]>
  close(): Promise<void>
}

/** A mail server that keeps what it gets. */
export async function startMailbox(t: Test, port = 0): Promise<Mailbox> {
  const mails: Email[] = []
  const unknownDomain = 'nowhere.example'
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo: ({ address }, _session, done) => {
      const known = !address.endsWith(`@${unknownDomain}`)
      done(known ? null : Object.assign(new Error('No such mailbox'), { responseCode: 550 }))
    },
    onData: (stream, _session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        void PostalMime.parse(Buffer.concat(chunks)).then((mail) => {
          mails.push(mail)
          done()
        })
      })
    },
  })
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const { port: taken } = server.server.address() as AddressInfo
  let open = true
  const close = async (): Promise<void> => {
    if (!open) return
    open = false
    await new Promise<void>((resolve) => server.close(resolve))
  }
  t.teardown(close)
  return {
    url: `smtp://127.0.0.1:${taken}`,
    port: taken,
    mails,
    unknownDomain,
    waitFor: (count) => eventually(`${count} mails`, () => (mails.length >= count ? mails : null)),
    close,
  }
}
