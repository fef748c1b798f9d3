import type { Test } from 'tap'
import type { Receiver } from '#test/support/receiver.ts'
import { type AiServer, startAi } from '#test/modules/message/support.ts'
import { type Shop, startReceiver, startWorld, type World } from '../support.ts'

export const MAIL = {
  id: 'mail',
  type: 'message',
  channel: 'email',
  to: '{{trigger.email}}',
  subject: 'Thank you,\n{{trigger.name}}',
  body: 'Hello {{trigger.name}}',
}
export const WRITTEN = { ...MAIL, ai: { prompt: 'Thank {{trigger.name}} for the order' } }
export const ANN = { name: 'Ann', email: 'ann@example.com' }

export interface Message {
  id: string
  step_id: string
  iteration: string
  to: string
  body: string
  status: string
  channel: string
}

export interface Messaging {
  platform: Receiver
  ai: AiServer
  world: World
  /** Runs these steps once, for one order. */
  runOnce: (steps: object[], data?: object) => Promise<{ shop: Shop; id: string }>
  /** Returns the requests that the platform got. */
  sent: () => { path: string; body: Record<string, unknown> }[]
}

/** A service whose messages the platform sends and an AI writes; both forget between tests. */
export async function startMessaging(t: Test): Promise<Messaging> {
  const platform = await startReceiver(t)
  const ai = await startAi(t)
  const world = await startWorld(t, {
    PLATFORM_URL: platform.url,
    PLATFORM_TOKEN: 'the-token-of-the-platform',
    AI_BASE_URL: ai.baseUrl,
    AI_API_KEY: 'sk-operators-own-key-000000',
    AI_MODEL: 'small',
  })
  t.beforeEach(() => {
    platform.received.length = ai.received.length = 0
    platform.answer((_received, response) => response.end('{"id":"n_1"}'))
    ai.say('Dear Ann, thank you!')
  })
  return {
    platform,
    ai,
    world,
    runOnce: async (steps, data = ANN) => {
      const shop = await world.shop()
      const flow = await publish(shop, steps)
      await shop.send('order.created', data)
      await shop.run()
      const [execution] = await shop.executions(flow)
      if (execution === undefined) throw new Error('nothing was started')
      return { shop, id: execution.id }
    },
    sent: () =>
      platform.received.map(({ path, body }) => ({
        path,
        body: JSON.parse(body) as Record<string, unknown>,
      })),
  }
}

/** Publishes these steps behind `order.created`. @returns the flow's id */
export async function publish(shop: Shop, steps: object[]): Promise<string> {
  const trigger = { type: 'event', event_types: ['order.created'] }
  const answer = await shop.tenant.post('/api/automation/flows', {
    name: 'Thanks',
    status: 'active',
    trigger,
    steps,
  })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<{ id: string }>().id
}

export async function messages(shop: Shop, query = ''): Promise<Message[]> {
  const answer = await shop.tenant.get(`/api/automation/messages?${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<{ data: Message[] }>().data
}
