import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { actionAt, dispatch, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)

t.test(
  "a plugin finds the payload under its name and at the top level, where the envelope's names win",
  async (t) => {
    const plugin = await startPlugin(t)
    const shop = service.tenant()
    await registerPlugin(shop, plugin.url, 'crm', [actionAt('update_contact')])
    const payload = {
      contact_id: '123',
      tenant_id: 'another',
      invocation_id: 'another',
      payload: { nested: true },
      context: { trigger: { event: 'made.up' } },
    }
    const { results } = await dispatch(shop, [{ action_type: 'update_contact', payload }])
    t.match(results, [{ success: true }])
    const body = JSON.parse(plugin.calls()[0]?.body ?? '') as Record<string, unknown>
    t.strictSame(body['payload'], payload)
    t.match(body, { contact_id: '123', tenant_id: shop.id, action_type: 'update_contact' })
    t.not(body['invocation_id'], 'another')
    t.notOk('context' in body, 'there is no context outside of flows')
  },
)
