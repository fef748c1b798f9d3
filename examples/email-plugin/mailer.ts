import { createHash } from 'node:crypto'
import { createTransport } from 'nodemailer'
import { welcomeMail } from './welcome-mail.ts'

export interface WelcomeInput {
  to: string
  name?: string
  template?: string
  variables?: { customer_name?: string }
}

export interface SentMail {
  message_id: string
  to: string
}

/** The mail server said no to this mail: sending it again would not help. */
export class MailRefused extends Error {}

const TIMEOUT_MS = 8_000

export interface Mailer {
  /** @throws {MailRefused} or, when the mail server is away or busy, its error */
  sendWelcome(input: WelcomeInput, idempotencyKey: string): Promise<SentMail>
  close(): void
}

export function createMailer({ smtpUrl, from }: { smtpUrl: string; from: string }): Mailer {
  // Shorter than the action's timeout, so that the caller hears of it.
  const transport = createTransport({
    url: smtpUrl,
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  })
  return {
    sendWelcome: async (input, idempotencyKey) => {
      const name = input.name ?? input.variables?.customer_name ?? null
      // The same mail has the same id: should it go out twice after a crash, mailboxes can tell.
      const id = createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)
      try {
        const { messageId } = await transport.sendMail({
          from,
          to: { name: name ?? '', address: input.to },
          messageId: `<${id}@email-plugin>`,
          ...welcomeMail(name),
        })
        return { message_id: messageId, to: input.to }
      } catch (error) {
        const { responseCode = 0, message } = error as Error & { responseCode?: number }
        if (responseCode >= 500) throw new MailRefused(message, { cause: error })
        throw error
      }
    },
    close: () => transport.close(),
  }
}
