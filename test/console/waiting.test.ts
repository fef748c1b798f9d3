import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

t.test('what waits and what fails', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  receiver.answer(({ path }, response) => {
    if (path === '/hook') held.push(() => response.writeHead(204).end())
    else response.writeHead(422).end()
  })
  t.teardown(() => {
    for (const release of held) release()
  })

  t.test('the list of plugins and the operation say for whom how much waits', async (t) => {
    const plugin = {
      name: 'Slow desk',
      slug: 'slow-desk',
      webhook_url: `${receiver.url}/hook`,
      events: ['a.b'],
    }
    await call('POST', '/api/plugins', plugin)
    for (let n = 0; n < 3; n++) await call('POST', '/api/events', { event: 'a.b', data: { n } })
    await until(
      async () => call<{ waiting: number; oldest_due_at: string | null }>('GET', '/api/plugins/slow-desk'),
      ({ waiting, oldest_due_at: due }) => waiting === 3 && due !== null,
    )
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/plugins', { colorScheme })
      const row = page.getByRole('row').filter({ hasText: 'Slow desk' })
      await row.getByRole('cell', { name: /^3 oldest due/ }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
      const { page: operation } = await visit('/console/operation', { colorScheme })
      await operation.getByText(/3 wait, the oldest due for/).waitFor()
      t.same(await accessibilityFaults(operation), [])
    }
  })

  t.test('a flow of which every run fails is not shown as if it were well', async (t) => {
    const flow = {
      name: 'Fails always',
      status: 'active',
      trigger: { type: 'manual' },
      steps: [{ id: 'tell', type: 'http', url: `${receiver.url}/refused`, method: 'POST' }],
    }
    const { id } = await call<{ id: string }>('POST', '/api/automation/flows', flow)
    await call('POST', '/api/automation/flows', { ...flow, name: 'Never started' })
    for (let n = 0; n < 3; n++) await call('POST', `/api/automation/flows/${id}/run`, { input: {} })
    await until(
      async () => call<{ consecutive_failures: number }>('GET', `/api/automation/flows/${id}`),
      ({ consecutive_failures: count }) => count === 3,
    )
    const { page, faults } = await visit('/console/flows')
    const row = page.getByRole('row').filter({ hasText: 'Fails always' })
    await row.getByText('failing', { exact: true }).waitFor()
    await row.getByText(/3 (failures in a row|runs failed in 24 hours)/).waitFor()
    await page
      .getByRole('row')
      .filter({ hasText: 'Never started' })
      .getByText('active', { exact: true })
      .waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })
})
