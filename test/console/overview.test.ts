import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

interface Overview {
  counts: {
    events: { accepted: number }
    deliveries: { sent: number; failed: number }
    executions: { completed: number; failed: number }
  }
}

t.test('the overview has the figures of the day', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  receiver.answer(({ body }, response) => response.writeHead(body.includes('refused') ? 422 : 204).end())
  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: `${receiver.url}/hook`,
    events: ['order.*'],
    retry_schedule: [],
  })
  await call('POST', '/api/automation/flows', {
    name: 'Tell the bank',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [
      {
        id: 'tell',
        type: 'http',
        url: `${receiver.url}/bank`,
        method: 'POST',
        body: { note: '{{trigger.note}}' },
      },
    ],
  })
  for (const note of ['fine', 'fine', 'fine', 'refused']) {
    await call('POST', '/api/events', { event: 'order.created', data: { note } })
  }
  await until(
    async () => (await call<Overview>('GET', '/api/overview')).counts,
    ({ events, deliveries: { sent, failed }, executions }) =>
      events.accepted >= 4 && sent === 3 && failed === 1 && executions.completed + executions.failed === 4,
  )
  const { counts } = await call<Overview>('GET', '/api/overview')
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page, faults } = await visit('/console', { colorScheme })
    const day = page.getByRole('region', { name: 'The last 24 hours' })
    for (const tile of [
      `${counts.events.accepted} Events`,
      '3 Deliveries that arrived',
      '75% Success of deliveries',
      '4 Runs that ended',
      '1 Runs that failed',
    ]) {
      await day.getByRole('link', { name: new RegExp(`^${tile}`) }).waitFor()
    }
    t.same(await accessibilityFaults(page), [], colorScheme)
    await day.getByRole('link', { name: /Runs that failed/ }).click()
    await page.getByRole('region', { name: 'Runs: Flow' }).getByText('http_4xx (1)').waitFor()
    t.same(faults, [])
  }
})
