import type { Test } from 'tap'
import { type Platform, type PlatformOptions, startPlatform } from '#examples/platform/platform.ts'
import type { TestApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'

export const PLATFORM_TOKEN = 'a-token-of-the-test'

export interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

export interface Shop {
  platform: Platform
  tenantId: string
  /** As the platform's own callers would ask, as this tenant. */
  call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>
}

export async function startShop(
  t: Test,
  tenantId: string,
  options: Partial<PlatformOptions> = {},
): Promise<Shop> {
  const platform = await startPlatform({ token: PLATFORM_TOKEN, tenantId, ...options })
  t.teardown(() => platform.close())
  return shopOf(platform, tenantId)
}

export function shopOf(platform: Platform, tenantId: string): Shop {
  return {
    platform,
    tenantId,
    call: async (method, path, body, headers = {}) => {
      const response = await fetch(platform.url + path, {
        method,
        headers: {
          authorization: `Bearer ${PLATFORM_TOKEN}`,
          'x-tenant-id': tenantId,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const { status } = response
      return { status, headers: response.headers, body: (await response.json()) as Record<string, unknown> }
    },
  }
}

export interface FeedEntry {
  event: string
  source_id: string | null
  data: Record<string, unknown>
  schema_problems?: unknown[]
}

/** The service's feed of a tenant, once it has `count` events. */
export function feedOf({ app }: TestApp, tenantId: string, key: string, count: number): Promise<FeedEntry[]> {
  return eventually(`${count} events`, async () => {
    const response = await app.inject({
      url: '/api/events?limit=200',
      headers: { authorization: `Bearer ${key}`, 'x-tenant-id': tenantId },
    })
    const { data } = response.json<{ data: FeedEntry[] }>()
    return data.length >= count ? data : null
  })
}

/** The id of one of the platform's records, which is its first member: `product_id`, `customer_id` … */
export function idOf(record: Record<string, unknown>): string {
  const [[name, id] = ['']] = Object.entries(record)
  if (!name.endsWith('_id') || typeof id !== 'string') throw new Error(`no record: ${JSON.stringify(record)}`)
  return id
}
