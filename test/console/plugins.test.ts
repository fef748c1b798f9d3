import t from 'tap'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

t.test('the list of plugins', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)

  t.test('says what a plugin is while there is none', async (t) => {
    const { page, faults } = await visit('/console/plugins')
    await page.getByRole('heading', { name: 'No plugin yet' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('shows them, and keeps the filters in the address', async (t) => {
    for (const [name, slug] of [
      ['Mailer', 'mailer'],
      ['Loyalty', 'loyalty'],
    ]) {
      await call('POST', '/api/plugins', {
        name,
        slug,
        webhook_url: `http://127.0.0.1:9/${slug}`,
        events: ['order.*'],
      })
    }
    await call('POST', '/api/plugins/loyalty/pause', {})
    const { page, faults } = await visit('/console/plugins')
    await page.getByRole('link', { name: 'Mailer' }).waitFor()
    await page.getByLabel('Status').selectOption('paused')
    await page.getByRole('link', { name: 'Mailer' }).waitFor({ state: 'detached' })
    await page.waitForURL(/\?status=paused$/)
    await page.reload()
    await page.getByRole('link', { name: 'Loyalty' }).waitFor()
    t.equal(await page.getByRole('link', { name: 'Mailer' }).count(), 0)
    await page.getByRole('button', { name: 'Clear' }).click()
    await page.getByRole('link', { name: 'Mailer' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('finds one by a part of its name, by keyboard alone', async (t) => {
    const { page, faults } = await visit('/console/plugins')
    await page.keyboard.press('Control+k')
    await page.keyboard.type('loyal')
    await page.getByRole('option', { name: 'Plugin Loyalty' }).waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL('**/console/plugins/loyalty')
    await page.getByRole('heading', { name: 'Loyalty', level: 1 }).waitFor()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('audit')
    await page.getByRole('option', { name: 'Audit log' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.keyboard.press('Escape')
    t.same(faults, [])
  })
})
