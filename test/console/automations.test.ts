import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

interface Automation {
  id: string
  name: string
  enabled: boolean
}
interface Flow {
  id: string
  name: string
  status: string
  automation: object | null
}

const FOLLOW_UP = { name: 'Follow up', type: 'lead_followup', trigger: 'no_contact', delay_hours: 48 }

t.test('automations that outgrow their form', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const automation = await call<Automation>('POST', '/api/automations', FOLLOW_UP)
  await call('POST', '/api/events', {
    event: 'lead.created',
    data: { lead_id: 1, name: 'Eva', email: 'e@example.com' },
  })
  await call('POST', '/api/automations/run')
  const runsOf = async () =>
    (await call<{ data: { status: string }[] }>('GET', `/api/automation/executions?flow=${automation.id}`))
      .data
  // The worker beside may have it in hand.
  const waiting = async () =>
    until(runsOf, (runs) => runs.length > 0 && runs.every(({ status }) => status === 'waiting'))
  await waiting()

  t.test(
    'what becomes of it is said before, in light and in dark, and nothing is done by cancelling',
    async (t) => {
      for (const colorScheme of ['light', 'dark'] as const) {
        const { page, faults } = await visit(`/console/automations/${automation.id}`, { colorScheme })
        await page.getByRole('button', { name: 'More' }).click()
        await page.getByRole('menuitem', { name: 'Continue as a flow…' }).click()
        const dialog = page.getByRole('dialog')
        await dialog.getByText('One run is under way or waits.').waitFor()
        await dialog.getByText('Nothing is sent twice, and nothing is lost').waitFor()
        await dialog.getByText('switched off').waitFor()
        t.same(await accessibilityFaults(page), [])
        await dialog.getByRole('button', { name: 'Cancel' }).click()
        t.same(faults, [])
      }
      t.equal((await call<Automation>('GET', `/api/automations/${automation.id}`)).enabled, true)
    },
  )

  t.test('it opens in the builder as a flow, and its form stays, switched off', async (t) => {
    const { page, faults } = await visit(`/console/automations/${automation.id}`)
    await page.getByRole('button', { name: 'More' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Continue as a flow…' }).press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: 'Continue as a flow' }).press('Enter')
    await page.waitForURL(new RegExp(`/console/flows/${automation.id}`))
    await page.getByRole('treeitem', { name: /^message/ }).waitFor()
    t.match(await call<Flow>('GET', `/api/automation/flows/${automation.id}`), {
      name: 'Follow up',
      status: 'active',
      automation: null,
    })
    const { data } = await call<{ data: Automation[] }>('GET', '/api/automations')
    t.match(data, [{ name: 'Follow up', enabled: false }])
    t.equal((await waiting()).length, 1)
    await page.goto(new URL('/console/automations', page.url()).href)
    await page.getByRole('link', { name: 'Follow up' }).click()
    await page.waitForURL(new RegExp(`/console/automations/${data[0]?.id ?? ''}`))
    t.same(faults, [])
  })
})
