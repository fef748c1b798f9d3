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

  t.test('a run that waits says which event it misses by spelling alone', async (t) => {
    const flow = {
      name: 'Waits for payment',
      status: 'active',
      trigger: { type: 'event', event_types: ['order.created'] },
      steps: [
        {
          id: 'paid',
          type: 'wait_event',
          any: [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' } }],
          timeout: '1d',
        },
      ],
    }
    const { id: flowId } = await call<{ id: string }>('POST', '/api/automation/flows', flow)
    await call('POST', '/api/events', { event: 'order.created', data: { order_id: 'A-42' } })
    const runs = async () =>
      call<{ data: { id: string; status: string }[] }>('GET', `/api/automation/executions?flow=${flowId}`)
    const {
      data: [run],
    } = await until(runs, ({ data }) => data[0]?.status === 'waiting')
    await call('POST', '/api/events', { event: 'order.paid', data: { order_id: 'a-42' } })
    await until(
      async () => call<{ passed_over: unknown[] }>('GET', `/api/automation/executions/${run?.id}`),
      ({ passed_over: passed }) => passed.length === 1,
    )
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit(`/console/runs/${run?.id}`, { colorScheme })
      const passed = page.getByRole('region', { name: 'Events that it did not take' })
      await passed.getByText(/spelled in another way/).waitFor()
      await passed.getByText('its order_id is "a-42"', { exact: false }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })
})
