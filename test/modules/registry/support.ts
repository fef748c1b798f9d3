import type { Test } from 'tap'
import type { RegistryAction } from '#modules/registry/index.ts'
import type { Tenant } from '#test/support/app.ts'

export interface ActionPage {
  data: RegistryAction[]
  groups?: { name: string | null; actions: RegistryAction[] }[]
  next_cursor: string | null
}

export interface RegisteredBody {
  plugin: string
  plugin_id: string
  actions: RegistryAction[]
  added: string[]
  changed: string[]
  removed: string[]
}

export const WELCOME = {
  action_type: 'send_welcome_email',
  title: 'Send a welcome email',
  description: 'Greets a new customer.',
  category: 'email',
  required_fields: ['to'],
  optional_fields: ['template'],
  endpoint: '/actions/send-welcome-email',
}

/** Registers actions; fails the test when they are refused. */
export async function registerActions(
  t: Test,
  tenant: Tenant,
  slug: string,
  actions: object[],
): Promise<RegisteredBody> {
  const response = await tenant.post(`/api/plugins/${slug}/register-actions`, { actions })
  t.equal(response.statusCode, 200, response.statusCode === 200 ? 'registered' : response.body)
  return response.json()
}

/** Returns the actions that discovery lists, over all pages. */
export async function discover(t: Test, tenant: Tenant, query = ''): Promise<RegistryAction[]> {
  const found: RegistryAction[] = []
  for (let cursor: string | null = null; ;) {
    const from = cursor === null ? '' : `&cursor=${cursor}`
    const response = await tenant.get(`/api/plugins/actions?limit=200${query}${from}`)
    t.equal(response.statusCode, 200, response.statusCode === 200 ? 'found' : response.body)
    const page = response.json<ActionPage>()
    found.push(...(page.groups?.flatMap(({ actions }) => actions) ?? page.data))
    if (page.next_cursor === null) return found
    cursor = page.next_cursor
  }
}
