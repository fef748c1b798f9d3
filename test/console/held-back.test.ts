import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

const RUNS = '/api/automation/executions'
const COUNT = 4

interface Run {
  id: string
  flow_name: string
  held_back: { first: { id: string; error: object | null } } | null
}

t.test('runs that are held back', { skip: noConsole }, async (t) => {
  const { call, visit, pool, tenantId } = await startConsole(t)
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(path === '/bad' ? 503 : 204).end())
  const start = async (name: string, path: string, count: number): Promise<void> => {
    const steps = [{ id: 'tell', type: 'http', url: `${receiver.url}${path}`, method: 'POST' }]
    const flow = {
      name,
      status: 'active',
      trigger: { type: 'manual' },
      settings: { retry_delay: 120_000 },
      steps,
    }
    const { id } = await call<{ id: string }>('POST', '/api/automation/flows', flow)
    for (let n = 0; n < count; n++) await call('POST', `/api/automation/flows/${id}/run`, { input: {} })
  }
  const held = async (count: number): Promise<Run[]> =>
    until(
      async () => (await call<{ data: Run[] }>('GET', `${RUNS}?status=waiting&reason=retry`)).data,
      (runs) => runs.length === count && runs.every((run) => run.held_back?.first.error != null),
    )
  await start('Tell the bank', '/bad', 1)
  await held(1)
  await start('Tell the bank again', '/bad', COUNT - 2)
  await start('Tell the well', '/good', 1)
  const runs = await held(COUNT)
  const first = runs.at(-1)
  t.equal(receiver.received.length, 1)
  const host = new RegExp(`held back: ${receiver.url} answers 503`)

  t.test('each says by whom in the list and on its page, and leads to the run that tries', async (t) => {
    const { page, faults } = await visit('/console/runs')
    await page
      .getByText(host)
      .nth(COUNT - 1)
      .waitFor()
    t.equal(await page.getByRole('link', { name: /^tries again/ }).count(), COUNT - 1, 'but the first itself')
    await page.getByRole('link', { name: 'Tell the well' }).click()
    const notice = page.getByRole('group', { name: 'Held back' })
    await notice.getByText(host).waitFor()
    await notice.getByText('also to a path that would answer').waitFor()
    await notice.getByText('The answer was 503').waitFor()
    t.same(await accessibilityFaults(page), [])
    await notice.getByRole('link', { name: /^The first run/ }).click()
    await page.waitForURL(new RegExp(`/runs/${first?.id}$`))
    await page.getByRole('heading', { name: 'Tell the bank' }).waitFor()
    await notice.getByText(/^It is the first one/).waitFor()
    t.same(faults, [])
  })

  t.test('those who look at the shop are told how many wait, and for whom', async (t) => {
    await pool.query(`update automation_executions set created_at = created_at - interval '2 minutes'
      where tenant_id = '${tenantId}'`)
    await call('POST', '/api/automation/resume', {})
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/', { colorScheme, locale: 'de-DE' })
      const entry = page.getByRole('listitem').filter({ hasText: 'Ausführungen zurückgehalten' })
      await entry.getByText(receiver.url).waitFor()
      await entry.getByRole('link', { name: `${COUNT} Ausführungen warten darauf` }).waitFor()
      t.same(await accessibilityFaults(page), [])
      await entry.getByRole('link', { name: 'die Ausführung, die es versucht' }).click()
      await page.getByRole('group', { name: 'Zurückgehalten' }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.match(page.url(), new RegExp(`/runs/${first?.id}$`))
      t.same(faults, [])
    }
  })
})
