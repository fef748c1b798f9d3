import type { Test } from 'tap'
import type { Tenant } from '../../support/app.ts'

/** Registers a plugin with the action `send_welcome_email`. @returns its id */
export async function registerPlugin(t: Test, shop: Tenant, url: string, slug: string): Promise<string> {
  const registered = await shop.post('/api/plugins', { name: slug, slug, webhook_url: `${url}/hook`, events: [] })
  t.equal(registered.statusCode, 201, registered.body)
  const actions = await shop.post(`/api/plugins/${slug}/register-actions`, {
    actions: [
      {
        action_type: 'send_welcome_email',
        title: 'Send welcome mail',
        description: 'Sends the welcome mail',
        category: 'email',
        required_fields: ['to', 'template'],
      },
    ],
  })
  t.equal(actions.statusCode, 200, actions.body)
  return registered.json<{ id: string }>().id
}
