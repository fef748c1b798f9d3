import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import type { Received } from '#test/support/receiver.ts'
import { actionAt, dispatch, json, readLog, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)

interface Accepted {
  shop: Tenant
  complete: () => Promise<{ statusCode: number; json: () => { code?: string } }>
}

/** An action that its plugin has accepted and not completed yet. */
async function accepted(t: Parameters<typeof startPlugin>[0]): Promise<Accepted> {
  const plugin = await startPlugin(t, { '/later': json(202, {}) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('later')])
  await dispatch(shop, [{ action_type: 'later', payload: {} }])
  const { headers, body } = plugin.received[0] as Received
  const { invocation_id: id } = JSON.parse(body) as { invocation_id: string }
  return {
    shop,
    complete: () =>
      service.app.inject({
        method: 'POST',
        url: `/api/actions/${id}/complete`,
        headers: { 'x-completion-token': String(headers['x-completion-token']) },
        payload: { success: true },
      }),
  }
}

const codeOf = async ({ complete }: Accepted) => {
  const answer = await complete()
  return answer.statusCode === 200 ? 'recorded' : answer.json().code
}

t.test('a paused plugin completes nothing until it is resumed', async (t) => {
  const action = await accepted(t)
  await action.shop.post('/api/plugins/p/pause')
  t.equal(await codeOf(action), 'completion_refused')
  await action.shop.patch('/api/plugins/p', { status: 'disabled' })
  t.equal(await codeOf(action), 'completion_refused')
  t.match(await readLog(action.shop), [{ status: 'accepted' }])
  await action.shop.post('/api/plugins/p/resume')
  t.equal(await codeOf(action), 'recorded')
})

t.test('a removed plugin completes nothing more, nor does its successor of the same slug', async (t) => {
  const action = await accepted(t)
  await action.shop.delete('/api/plugins/p')
  t.equal(await codeOf(action), 'invocation_not_found')
  await action.shop.post('/api/plugins', { name: 'p', slug: 'p', webhook_url: 'https://other.example/' })
  t.equal(await codeOf(action), 'invocation_not_found')
})

t.test('a token ends with the signing secret that was current when it was given', async (t) => {
  const kept = await accepted(t)
  await kept.shop.post('/api/plugins/p/rotate-secret')
  t.equal(await codeOf(kept), 'recorded', 'while both secrets sign')

  const ended = await accepted(t)
  await ended.shop.post('/api/plugins/p/rotate-secret', { overlap_seconds: 0 })
  t.equal(await codeOf(ended), 'invocation_not_found')
})
