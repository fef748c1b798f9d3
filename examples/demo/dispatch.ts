import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { readConfig } from '#examples/email-plugin/config.ts'
import { startEmailPlugin } from '#examples/email-plugin/plugin.ts'
import { type Platform, startPlatform } from '#examples/platform/platform.ts'
import type { Api, Delivery } from './api.ts'
import { type Mailbox, openMailbox } from './mailbox.ts'

/** What the dispatch needs before the service starts: a platform to call, and a mailbox. */
export interface Stage {
  platform: Platform
  mailbox: Mailbox
  /** For the service. */
  environment: { PLATFORM_URL: string; PLATFORM_TOKEN: string }
}

export interface DispatchShow {
  stage: Stage
  api: Api
  /** The service's. */
  url: string
  line: (text: string) => void
  cleanup: AsyncDisposableStack
  signal: AbortSignal
}

interface Claim {
  text: string
  holds: boolean
}

interface DispatchAnswer {
  results: {
    action_type: string
    success: boolean
    replayed: boolean
    duration_ms: number
    data?: { customer_id?: string; message_id?: string }
    error?: { code: string; message: string }
  }[]
}

const LOOK_MS = 50
const CUSTOMER = { email: 'ada@example.com', name: 'Ada' }

/** @param tenantId the tenant that the service works for */
export async function setStage(tenantId: string, cleanup: AsyncDisposableStack): Promise<Stage> {
  const token = randomBytes(16).toString('hex')
  const platform = await startPlatform({ token, tenantId })
  cleanup.defer(() => platform.close())
  const mailbox = await openMailbox()
  cleanup.defer(() => mailbox.close())
  return { platform, mailbox, environment: { PLATFORM_URL: platform.url, PLATFORM_TOKEN: token } }
}

/**
 * One request that has the platform create a customer and a plugin send the welcome mail, and what came of it: the
 * customer, the mail, and the platform's event at the plugin that subscribed to it. Then the same request again.
 * @returns what the show claims
 */
export async function showDispatch(show: DispatchShow): Promise<Claim[]> {
  const { stage, api, url, line, cleanup, signal } = show
  stage.platform.sendEventsTo({ url, key: null })
  const plugin = await startEmailPlugin({
    ...readConfig({ WEBHOOK_SECRET: `whsec_${randomBytes(32).toString('base64')}`, LOG_LEVEL: 'silent' }),
    port: 0,
    automationUrl: url,
    smtpUrl: stage.mailbox.url,
  })
  cleanup.defer(() => plugin.close())
  await plugin.registered
  const { id: pluginId } = await api.get<{ id: string }>('/api/plugins/email-marketing')
  line('A plugin that sends mails has registered its action send_welcome_email. Dispatching, as flow_123:')

  const request = {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: CUSTOMER },
      {
        action_type: 'send_welcome_email',
        plugin_id: pluginId,
        payload: { to: CUSTOMER.email, name: CUSTOMER.name, template: 'welcome' },
      },
    ],
  }
  const dispatch = (): Promise<DispatchAnswer> => api.post('/api/plugins/events/automation', request)
  const first = await dispatch()
  for (const each of first.results) {
    const outcome = each.error === undefined ? `done in ${each.duration_ms} ms` : each.error.message
    line(`  ${each.action_type.padEnd(18)}  ${outcome}`)
  }
  const event = await deliveredEvent(api, signal)
  const again = await dispatch()
  return claimsOf(stage, first, event, again, line)
}

async function claimsOf(
  { platform, mailbox, environment }: Stage,
  first: DispatchAnswer,
  event: Delivery,
  again: DispatchAnswer,
  line: (text: string) => void,
): Promise<Claim[]> {
  const response = await fetch(`${platform.url}/api/customers`, {
    headers: { authorization: `Bearer ${environment.PLATFORM_TOKEN}` },
  })
  const { data: customers } = (await response.json()) as { data: { customer_id: string; email: string }[] }
  const [mail] = mailbox.mails
  line(`  customer  ${customers.map(({ customer_id, email }) => `${customer_id} ${email}`).join(', ')}`)
  line(`  mail      to ${mail?.to?.map(({ address }) => address).join(', ')}: ${mail?.subject}`)
  line(`  event     ${event.event} to ${event.plugin}: ${event.status}`)
  line('')
  const [created, mailed] = first.results
  return [
    {
      text: 'the customer that the dispatch created is in the platform',
      holds:
        created?.success === true &&
        customers.some(({ customer_id }) => customer_id === created.data?.customer_id),
    },
    {
      text: 'the mail that the dispatch sent is in the mailbox',
      holds: mailed?.success === true && mail?.messageId === mailed.data?.message_id,
    },
    {
      text: "the platform's customer.created reached the plugin that subscribed to it",
      holds: event.status === 'sent',
    },
    {
      text: 'the same dispatch again answered the same and did nothing twice',
      holds:
        again.results.every(({ success, replayed }) => success && replayed) &&
        customers.length === 1 &&
        mailbox.mails.length === 1,
    },
  ]
}

/** The platform's event on its way to the plugin. Rejects when the signal gives up first. */
async function deliveredEvent(api: Api, signal: AbortSignal): Promise<Delivery> {
  for (;;) {
    const { data } = await api.get<{ data: Delivery[] }>(
      '/api/plugins/events?plugin=email-marketing&event=customer.created',
    )
    const [delivery] = data
    if (delivery?.status === 'sent' || delivery?.status === 'failed') return delivery
    await delay(LOOK_MS, undefined, { signal })
  }
}
