import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { freePort } from '#test/support/free-port.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService } from '#test/support/service-process.ts'
import { accessibilityFaults, browse, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

t.test(
  'a run is followed through the end of the service and of the network',
  { skip: noConsole },
  async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t)
    const port = await freePort()
    // Work that the first has in hand when it ends is taken up after its lease.
    const options = { databaseUrl, port, env: { LEASE_MS: '5000' } }
    const first = await startService(t, options)
    const visit = await browse(t, first.url)
    const receiver = await startReceiver(t)
    const held: (() => void)[] = []
    receiver.answer((_, response) => held.push(() => response.writeHead(204).end()))
    const release = async (): Promise<void> => {
      const count = receiver.received.length
      if (held.length === 0) await receiver.waitFor(count + 1)
      held.shift()?.()
    }

    const tenantId = crypto.randomUUID()
    const steps = ['one', 'two', 'three', 'four'].map((id) => ({
      id,
      type: 'http',
      url: `${receiver.url}/${id}`,
    }))
    const ask = async <T>(path: string, body?: unknown): Promise<T> =>
      (await (await first.request(body === undefined ? 'GET' : 'POST', path, { tenantId, body })).json()) as T
    const flow = await ask<{ id: string }>('/api/automation/flows', {
      name: 'Four calls',
      status: 'active',
      trigger: { type: 'manual' },
      steps,
    })
    const run = await ask<{ execution_id: string }>(`/api/automation/flows/${flow.id}/run`, { input: {} })

    // A platform's session that works for one shop names it in a header, which EventSource could not send.
    const { page } = await visit('/console/runs')
    await page.getByLabel('Key').fill(TEST_PLATFORM_KEY)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByLabel('Shop').fill(tenantId)
    await page.keyboard.press('Enter')
    await page.getByRole('link', { name: 'Four calls' }).click()
    await page.getByText('Live', { exact: true }).waitFor()
    const outlined = (name: string) => page.getByRole('treeitem', { name: new RegExp(name) })
    await release()
    await outlined('one.*succeeded').waitFor()

    first.kill('SIGKILL')
    await first.exited
    await page.getByText(/Offline, trying again in \d+ s/).waitFor()
    // The process that takes the step over calls again.
    held.length = 0
    const second = await startService(t, options)
    await page.getByText('Live', { exact: true }).waitFor()
    await release()
    await outlined('two.*succeeded').waitFor()

    await page.context().setOffline(true)
    await release()
    await page.context().setOffline(false)
    await outlined('three.*succeeded').waitFor()
    await release()
    await outlined('four.*succeeded').waitFor()
    await page.getByRole('button', { name: 'Retry…' }).waitFor()

    const timeline = page.getByRole('region', { name: 'Steps' }).getByRole('listitem')
    await becomes(
      t,
      async () => (await timeline.allInnerTexts()).map((text) => text.split('\n')[0]),
      ['Start', 'one', 'two', 'three', 'four'],
      'no step is missing, and none is there twice',
    )
    const path = `/api/automation/executions/${run.execution_id}`
    const ended = (await (await second.request('GET', path, { tenantId })).json()) as { status: string }
    t.equal(ended.status, 'completed')
  },
)

t.test(
  'a run shows which step it is at and since when, in a loop for each item',
  { skip: noConsole },
  async (t) => {
    const { call, visit } = await startConsole(t)
    const receiver = await startReceiver(t)
    const held: (() => void)[] = []
    receiver.answer((_, response) => held.push(() => response.writeHead(204).end()))
    t.teardown(() => held.forEach((release) => release()))
    const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
      name: 'Slow calls',
      status: 'active',
      // Calls are held as long as a slow machine takes to look at them.
      settings: { timeout: '5 minutes' },
      trigger: { type: 'manual' },
      steps: [
        { id: 'first', type: 'set', variables: { a: 1 } },
        { id: 'slow', type: 'http', url: `${receiver.url}/slow` },
        {
          id: 'each',
          type: 'for_each',
          list: '{{trigger.items}}',
          concurrency: 2,
          body: [{ id: 'item', type: 'http', url: `${receiver.url}/item` }],
        },
      ],
    })
    const { execution_id: id } = await call<{ execution_id: string }>(
      'POST',
      `/api/automation/flows/${flow}/run`,
      { input: { items: [1, 2, 3] } },
    )
    await receiver.waitFor(1)
    const { page, faults } = await visit(`/console/runs/${id}`)
    // The step before it stands in no boundary yet: that it is over is known from the stream alone.
    await page.getByRole('treeitem', { name: /slow.*since .*running/ }).waitFor()
    await page
      .getByRole('region', { name: 'Steps' })
      .getByRole('link', { name: /slow.*began/s })
      .waitFor()
    held.shift()?.()
    await receiver.waitFor(3)
    await page.getByRole('treeitem', { name: /item.*2 items now.*running/ }).waitFor()
    await page.getByRole('treeitem', { name: /each.*running/ }).waitFor()
    await page.getByRole('link', { name: 'Item 1: running' }).click()
    await page.getByRole('heading', { name: 'item · item 1' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    const german = await visit(`/console/runs/${id}`, { locale: 'de-DE', colorScheme: 'dark' })
    await german.page.getByRole('treeitem', { name: /item.*2 Elemente jetzt.*läuft/ }).waitFor()
    t.same(await accessibilityFaults(german.page), [])
    held.splice(0).forEach((release) => release())
    await receiver.waitFor(4)
    held.splice(0).forEach((release) => release())
    await page.getByRole('button', { name: 'Retry…' }).waitFor()
    t.same([...faults, ...german.faults], [])
  },
)

t.test(
  'a step that is tried again shows its attempts, and when the next one is',
  { skip: noConsole },
  async (t) => {
    const { call, visit } = await startConsole(t)
    const receiver = await startReceiver(t)
    receiver.answer((_, response) => response.writeHead(receiver.received.length === 2 ? 204 : 503).end())
    const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
      name: 'Busy',
      status: 'active',
      trigger: { type: 'manual' },
      steps: [
        { id: 'soon', type: 'http', url: receiver.url, retry: { max_retries: 1, base_ms: 100 } },
        { id: 'later', type: 'http', url: receiver.url, retry: { max_retries: 3, base_ms: 600_000 } },
      ],
    })
    const { execution_id: id } = await call<{ execution_id: string }>(
      'POST',
      `/api/automation/flows/${flow}/run`,
      { input: {} },
    )
    const { page, faults } = await visit(`/console/runs/${id}`)
    await page.getByRole('treeitem', { name: /later.*try 1 failed, next .*waiting/ }).click()
    const attempts = page.getByRole('list', { name: 'Attempts' }).getByRole('listitem')
    await attempts.filter({ hasText: /1.*failed.*next.*http_5xx/s }).waitFor()
    await becomes(t, async () => attempts.count(), 1)
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('treeitem', { name: /soon.*2 tries/ }).click()
    await attempts.filter({ hasText: /2.*succeeded/s }).waitFor()
    await becomes(t, async () => attempts.count(), 2)
    const german = await visit(`/console/runs/${id}?step=later`, { locale: 'de-DE', colorScheme: 'dark' })
    await german.page.getByRole('list', { name: 'Versuche' }).getByText('gescheitert').waitFor()
    t.same(await accessibilityFaults(german.page), [])
    t.same([...faults, ...german.faults], [])
  },
)

t.test('a run of 500 steps', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
    name: 'Long',
    status: 'active',
    trigger: { type: 'manual' },
    steps: Array.from({ length: 500 }, (_, index) => ({
      id: `s${index}`,
      ...(index % 7 === 3
        ? {
            type: 'condition',
            field: 'n',
            operator: 'gte',
            value: 1,
            on_false: `s${Math.min(499, index + 3)}`,
          }
        : { type: 'set', variables: { [`v${index % 10}`]: index } }),
      ...(index === 499 && { type: 'http', url: 'http://127.0.0.1:9/', retry: { max_retries: 0 } }),
    })),
  })
  await call('POST', `/api/automation/flows/${flow}/run`, { input: { n: 1 } })
  const { page, faults } = await visit(`/console/runs?flow=${flow}`)
  await page
    .getByRole('row', { name: /failed/ })
    .getByRole('link', { name: 'Long' })
    .click()
  await page.getByRole('treeitem', { name: /s499.*failed/ }).waitFor()
  const cards = page.locator('[data-step]')
  await page.locator('[data-step="s499"]').waitFor()
  // Once the canvas has its size: until then it cannot know which cards are seen.
  const shown = await until(
    async () => cards.count(),
    (count) => count > 1 && count < 60,
  )
  t.ok(shown > 1 && shown < 60, `what is not seen is not drawn: ${shown} cards`)
  await becomes(t, async () => page.getByRole('treeitem').count(), 500, 'and the outline has all of them')
  await page.getByRole('treeitem', { name: /s250\b/ }).click()
  await page.locator('[data-step="s250"]').waitFor()
  await page.getByRole('heading', { name: 's250' }).waitFor()
  t.same(faults, [])
})
