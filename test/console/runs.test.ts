import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, type Console, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Run {
  id: string
  status: string
  retry_of: string | null
  retries: string[]
  carried_steps: number
  trigger: unknown
}

const RUN = '/api/automation/executions'
const ENDED = ['completed', 'failed', 'cancelled', 'timed_out']

async function createFlow(call: Console['call'], definition: object): Promise<string> {
  const body = { status: 'active', trigger: { type: 'manual' }, ...definition }
  return (await call<{ id: string }>('POST', '/api/automation/flows', body)).id
}

async function startRun(call: Console['call'], flow: string, input: object): Promise<string> {
  const started = await call<{ execution_id: string }>('POST', `/api/automation/flows/${flow}/run`, { input })
  return started.execution_id
}

const runAt = async (call: Console['call'], id: string, statuses: readonly string[]): Promise<Run> =>
  until(
    async () => call<Run>('GET', `${RUN}/${id}`),
    ({ status }) => statuses.includes(status),
  )

const outlined = (page: Page, name: string) => page.getByRole('treeitem', { name: new RegExp(name) })

t.test('runs', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  let isFlakyOnce = false
  receiver.answer(({ path }, response) => {
    if (path.startsWith('/held')) held.push(() => response.writeHead(204).end())
    else if (path.startsWith('/flaky')) {
      response.writeHead(isFlakyOnce ? 204 : 503).end()
      isFlakyOnce = true
    } else response.writeHead(path.includes('bad') ? 422 : 204).end()
  })

  t.test('says what a run is while there is none, in light and in dark', async (t) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/runs', { colorScheme })
      await page.getByRole('heading', { name: 'No run yet' }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })

  t.test('follows a run: slow, a loop with failures, a retry, a wait; and cancels it', async (t) => {
    const flow = await createFlow(call, {
      name: 'Pack the order',
      steps: [
        { id: 'slow', type: 'http', name: 'Slow request', url: `${receiver.url}/held` },
        {
          id: 'each',
          type: 'for_each',
          name: 'Each item',
          list: 'trigger.items',
          max_items: 500,
          concurrency: 20,
          item_errors: 'continue',
          body: [
            {
              id: 'hook',
              type: 'http',
              name: 'Warehouse',
              url: `${receiver.url}/item/{{item}}`,
              method: 'POST',
            },
          ],
        },
        {
          id: 'flaky',
          type: 'http',
          name: 'Flaky request',
          url: `${receiver.url}/flaky`,
          retry: { max_retries: 3, base_ms: 100 },
        },
        {
          id: 'paid',
          type: 'wait_event',
          name: 'Payment',
          event: 'order.paid',
          match: 'trigger.id',
          timeout: '7 days',
        },
      ],
    })
    const items = Array.from({ length: 200 }, (_, index) => ([7, 77, 177].includes(index) ? 'bad' : 'good'))
    const id = await startRun(call, flow, { id: 'ord_1', items })
    const { page, faults } = await visit(`/console/runs/${id}`)
    await page.getByText('Live', { exact: true }).waitFor()
    await outlined(page, 'Slow request.*running').waitFor()
    await outlined(page, 'Slow request').click()
    await page.waitForURL(/\?step=slow$/)

    await until(
      async () => Promise.resolve(held.length),
      (count) => count === 1,
    )
    held.pop()?.()
    await outlined(page, 'Slow request.*succeeded').waitFor()
    await outlined(page, 'Payment.*waiting').waitFor()
    t.match(page.url(), /\?step=slow$/, 'what happened meanwhile has not changed what is looked at')
    await page.getByText('200 items').first().waitFor()
    await page.getByText('3 failed').waitFor()
    await page.getByRole('link', { name: /^Flaky request.*2 tries/ }).waitFor()
    await page.getByText('order.paid').first().waitFor()

    await page.getByRole('link', { name: 'Item 77: failed' }).click()
    await page.waitForURL(/step=hook&iteration=77/)
    await page.getByText('What went wrong').waitFor()
    await page.getByText('The request was refused').waitFor()
    t.same(await accessibilityFaults(page), [])

    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText('Paused', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByText('Live', { exact: true }).waitFor()

    await page.getByRole('button', { name: 'Cancel run' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel run' }).click()
    await page.getByRole('button', { name: 'Retry…' }).waitFor()
    t.equal((await runAt(call, id, ENDED)).status, 'cancelled')
    t.same(faults, [])
  })

  t.test('retries from a step with another input, and leads to the new run', async (t) => {
    const flow = await createFlow(call, {
      name: 'Send the bill',
      steps: [
        { id: 'note', type: 'set', name: 'Note it', variables: { seen: true } },
        {
          id: 'bill',
          type: 'http',
          name: 'Bill',
          url: `${receiver.url}/bill/{{trigger.code}}`,
          method: 'POST',
        },
      ],
    })
    const id = await startRun(call, flow, { code: 'bad', total: 12 })
    await runAt(call, id, ['failed'])
    const { page, faults } = await visit(`/console/runs/${id}`, { colorScheme: 'dark' })
    await page.getByText('What went wrong').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'Retry…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('From').selectOption({ label: 'Bill' })
    await dialog.getByText('Is kept, and does not run again').waitFor()
    await becomes(t, async () => dialog.locator('dd').first().textContent(), 'Note it')
    await becomes(t, async () => dialog.locator('dd').last().textContent(), 'Bill')
    await dialog.getByLabel('Change the input').check()
    await dialog.getByLabel('Input', { exact: true }).fill('{ "code": ')
    await becomes(
      t,
      async () => dialog.getByRole('button', { name: 'Retry' }).isDisabled(),
      true,
      'what is no JSON is not sent',
    )
    await dialog
      .getByLabel('Input', { exact: true })
      .fill('{ "code": "good", "total": 12345678901234567890.10 }')
    await dialog.getByRole('button', { name: 'Retry' }).click()
    await page.waitForURL((url) => !url.pathname.endsWith(id))
    await outlined(page, 'Bill.*succeeded').waitFor()
    const retry = await runAt(call, page.url().split('/').at(-1) ?? '', ENDED)
    t.match(retry, { status: 'completed', retry_of: id, carried_steps: 1, trigger: { code: 'good' } })
    t.same(faults, [])
  })

  t.test('leads from the failure of a loop to the item that failed', async (t) => {
    const flow = await createFlow(call, {
      name: 'Label the parcels',
      steps: [
        {
          id: 'parcels',
          type: 'for_each',
          list: 'trigger.parcels',
          body: [
            { id: 'label', type: 'http', name: 'Label', url: `${receiver.url}/{{item}}`, method: 'POST' },
          ],
        },
      ],
    })
    const id = await startRun(call, flow, { parcels: ['good', 'bad', 'good'] })
    await runAt(call, id, ['failed'])
    const { page, faults } = await visit(`/console/runs/${id}?step=parcels`)
    await page.getByText('Why it failed').locator('..').getByRole('link', { name: 'Label' }).click()
    await page.waitForURL(/step=label&iteration=1/)
    await page.getByText('What went wrong').waitFor()
    t.same(faults, [])
  })

  t.test('says what to do about a customer without an address', async (t) => {
    const flow = await createFlow(call, {
      name: 'Thank the customer',
      steps: [
        {
          id: 'thank',
          type: 'message',
          channel: 'email',
          to: '{{trigger.email | default: ""}}',
          subject: 'Thanks',
          body: 'Hello',
        },
      ],
    })
    const id = await startRun(call, flow, {})
    await runAt(call, id, ['failed'])
    const { page, faults } = await visit(`/console/runs/${id}`)
    await page.getByText('missing_recipient').first().waitFor()
    await page
      .getByText(/The message had no address: look at the input/)
      .first()
      .waitFor()
    t.same(faults, [])
  })

  t.test('shows each filter that narrows the list, also one that a link has brought', async (t) => {
    const { page, faults } = await visit('/console/runs?status=waiting&reason=retry')
    const reason = page.getByRole('combobox', { name: 'Reason' })
    await becomes(t, async () => reason.inputValue(), 'retry')
    await reason.selectOption({ label: 'waits for an event' })
    await page.waitForURL(/reason=event/)
    t.same(faults, [])
  })

  t.test('is looked through by keyboard alone: outline and canvas', async (t) => {
    const runs = await call<{ data: Run[] }>('GET', `${RUN}?status=cancelled`)
    const { page, faults } = await visit(`/console/runs/${runs.data[0]?.id ?? ''}`)
    await outlined(page, 'Slow request').focus()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForURL(/step=each/)
    await page
      .getByRole('treeitem', { name: /Each item/, selected: true })
      .first()
      .waitFor()
    await page.getByRole('application').focus()
    await page.keyboard.press('ArrowDown')
    await page.waitForURL(/step=hook/)
    await page.keyboard.press('ArrowUp')
    await page.waitForURL(/step=each/)
    t.same(faults, [])
  })

  t.test('filters in the address, and retries all that match once it has said how many', async (t) => {
    const flow = await createFlow(call, {
      name: 'Tell the bank',
      steps: [{ id: 'tell', type: 'http', url: `${receiver.url}/bank/{{trigger.code}}`, method: 'POST' }],
    })
    const ids: string[] = []
    for (const code of ['bad', 'bad', 'good']) ids.push(await startRun(call, flow, { code }))
    for (const id of ids) await runAt(call, id, ENDED)
    const { page, faults } = await visit('/console/runs')
    await page.getByRole('link', { name: 'Tell the bank' }).first().waitFor()
    await page.getByRole('combobox', { name: 'Flow' }).selectOption({ label: 'Tell the bank' })
    await page.getByRole('combobox', { name: 'Status' }).selectOption('failed')
    await page.getByText('2 in all').waitFor()
    t.match(page.url(), new RegExp(`flow=${flow}&status=failed`))
    await page.reload()
    await page.getByText('2 in all').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'For all that match' }).click()
    await page.getByRole('menuitem', { name: 'Retry all that match…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('2 runs would be retried.').waitFor()
    await dialog.getByRole('button', { name: 'Retry 2' }).click()
    await dialog.getByText('2 retried.').waitFor()
    for (const [index, id] of ids.entries()) {
      const { retries } = await call<Run>('GET', `${RUN}/${id}`)
      t.equal(retries.length, index < 2 ? 1 : 0, 'those that were shown, and no other')
    }
    t.same(faults, [])
  })
})
