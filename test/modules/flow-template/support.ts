import type { Test } from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { PLATFORM_TOKEN, type Shop as PlatformShop, shopOf, startShop } from '#test/examples/shop.ts'
import { eventually } from '#test/support/deliveries.ts'
import { outcomes, type Shop, startWorld, type World } from '#test/modules/flow-engine/support.ts'

export { DAY_MS, HOUR_MS, MINUTE_MS } from '#test/modules/flow-engine/support.ts'

export interface Sent {
  channel: string
  recipient: string | null
  subject: string | null
  /** Of an email also what was sent as `text` or `html`. */
  body?: string
  text?: string
  html?: string
  message?: string
}

function bodyOf({ body, text, html }: Sent): Pick<Sent, 'body'> {
  const said = body ?? text ?? html
  return said === undefined ? {} : { body: said }
}

/** A shop on the reference platform, and its automations. */
export interface PlatformAutomation extends Shop {
  /** Asks the platform; its events have reached the service when this returns. */
  ask(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>
  /** Rows of the platform, oldest first. */
  rows<Row = Record<string, unknown>>(table: string): Promise<Row[]>
  /** Runs all that has come or is due, and all that follows from it. */
  settle(): Promise<void>
  /** Moves the clock on, and runs all that is due then. */
  after(ms: number): Promise<void>
  /** Emails, text messages and notifications that went out, oldest first. */
  sent(): Promise<Sent[]>
  /** Returns the outcomes of a flow's executions, in the order of their events. */
  outcomes(flowId: string): Promise<string[]>
  /** Installs a template, active. @returns the flow's id */
  install(template: string, parameters?: Record<string, unknown>): Promise<string>
  /** A time so far from the shop's now, RFC 3339. */
  at(ms: number): string
}

export interface PlatformWorld {
  world: World
  platform: PlatformShop['platform']
  open(): Promise<PlatformAutomation>
}

export async function startPlatformWorld(t: Test, env: Record<string, string> = {}): Promise<PlatformWorld> {
  const { platform } = await startShop(t, crypto.randomUUID())
  const world = await startWorld(t, { PLATFORM_URL: platform.url, PLATFORM_TOKEN, ...env })
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  platform.sendEventsTo({ url, key: TEST_PLATFORM_KEY })
  return { world, platform, open: async () => openAutomation(await world.shop(), platform) }
}

function openAutomation(shop: Shop, platform: PlatformShop['platform']): PlatformAutomation {
  const { call } = shopOf(platform, shop.tenant.id)
  const rows = async <Row>(table: string): Promise<Row[]> => {
    const { status, body } = await call('GET', `/api/${table}`)
    if (status !== 200) throw new Error(JSON.stringify(body))
    return (body['data'] as Row[]).toReversed()
  }
  const told = () =>
    eventually('an empty outbox', async () => ((await rows('outbox')).length === 0 ? true : null))
  const settle = async (): Promise<void> => {
    // An automation's effects are told of, and may start or end another one.
    for (let round = 0; round < 2; round++) {
      await told()
      await shop.run()
    }
    await told()
  }
  return {
    ...shop,
    ask: async (method, path, body) => {
      const answer = await call(method, path, body)
      if (answer.status >= 300) throw new Error(JSON.stringify(answer.body))
      await told()
      return answer.body
    },
    rows,
    settle,
    after: async (ms) => {
      await settle()
      shop.pass(ms)
      await settle()
    },
    sent: async () => (await rows<Sent>('notifications')).map((row) => ({ ...row, ...bodyOf(row) })),
    outcomes: async (flowId) => outcomes(await shop.executions(flowId)),
    install: async (id, parameters = {}) => {
      const url = `/api/automation/templates/${id}/install`
      const answer = await shop.tenant.post(url, { status: 'active', parameters })
      if (answer.statusCode !== 201) throw new Error(answer.body)
      return answer.json<{ id: string }>().id
    },
    at: (ms) => new Date(shop.now().getTime() + ms).toISOString(),
  }
}
