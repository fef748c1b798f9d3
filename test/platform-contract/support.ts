import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { clientFor, type Tenant } from '#test/support/app.ts'
import { startDnsServer } from '#test/support/dns-server.ts'
import {
  type PlatformAutomation,
  type PlatformWorld,
  startPlatformWorld,
} from '#test/modules/flow-template/support.ts'

export const VECTORS = join(import.meta.dirname, 'vectors')

/** A request or payload as one of the platform's documents prints it. `name` begins with the document's. */
export function vector(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(VECTORS, `${name}.json`), 'utf8')) as Record<string, unknown>
}

/** The service and the reference platform, each with the other's address. Hosts that documents print do not resolve. */
export async function startContract(t: Test): Promise<PlatformWorld> {
  const dns = await startDnsServer(() => 'nxdomain')
  t.teardown(() => dns.close())
  return startPlatformWorld(t, { EGRESS_DNS: dns.address })
}

/** Runs a test in a shop that notes what does not match its type's schema, and in one that refuses it. */
export async function inBothShops(
  t: Test,
  place: PlatformWorld,
  run: (t: Test, shop: PlatformAutomation, strict: boolean) => Promise<void>,
): Promise<void> {
  for (const strict of [false, true]) {
    await t.test(strict ? 'strict shop' : 'lenient shop', async (t) => {
      const shop = await place.open()
      const changed = await shop.tenant.patch('/api/tenant', { strict_events: strict })
      expectStatus(t, changed, 200)
      await run(t, shop, strict)
    })
  }
}

/** Asserts the status, and shows the answer where it is another. */
export function expectStatus(t: Test, response: LightMyRequestResponse, status: number): void {
  t.equal(response.statusCode, status, response.statusCode === status ? 'status' : response.body)
}

/** A client with a key of the plugin's own. */
export async function pluginClient(
  t: Test,
  place: PlatformWorld,
  shop: PlatformAutomation,
  slug: string,
): Promise<Tenant> {
  const response = await shop.tenant.post('/api/keys', { kind: 'plugin', name: slug, plugin: slug })
  expectStatus(t, response, 201)
  return clientFor(place.world.app, shop.tenant.id, response.json<{ key: string }>().key)
}

/** The shop's newest event of a type, with the parts that did not match its schema. */
export async function newestEvent(
  shop: PlatformAutomation,
  event: string,
): Promise<{ data: Record<string, unknown>; schema_problems?: unknown } | undefined> {
  const response = await shop.tenant.get(`/api/events?limit=200`)
  const { data } = response.json<{ data: { event: string; data: Record<string, unknown> }[] }>()
  return data.findLast((each) => each.event === event)
}
