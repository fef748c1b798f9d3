import type { Page } from 'playwright-core'
import t from 'tap'
import { noConsole, settled, startConsole } from './support/console.ts'
import { countRequests } from './support/measure.ts'

/** 400 kbit/s, and as many milliseconds from here to there and back. */
const SLOW = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000 }

/** Writes down what the page shows from its first script on, one after the other. */
const WATCH = `
  globalThis.seen = []
  new MutationObserver(() => {
    const skeleton = document.querySelector('.skeleton')
    const list = document.querySelector('main a[href$="/plugins/mailer"]')
    const state = skeleton !== null ? (skeleton.closest('main') ? 'page loads' : 'console loads') : list !== null ? 'list' : 'nothing'
    if (state !== 'nothing' && state !== seen.at(-1)) seen.push(state)
  }).observe(document, { childList: true, subtree: true })`

async function slowDown(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.setCacheDisabled', { cacheDisabled: true })
  await session.send('Network.emulateNetworkConditions', SLOW)
}

t.setTimeout(300_000)

t.test('over a slow network', { skip: noConsole }, async (t) => {
  const { url, call, visit } = await startConsole(t)
  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: 'http://127.0.0.1:9/',
    events: [],
  })

  t.test('a page shows that it loads, from the first script on', async (t) => {
    const { page, faults } = await visit('/console/keys')
    await settled(page)
    await slowDown(page)
    await page.addInitScript(WATCH)
    await page.goto(`${url}/console/plugins`)
    await page.getByRole('link', { name: 'Mailer' }).waitFor()
    t.same(await page.evaluate<string[]>('seen'), ['console loads', 'page loads', 'list'])
    t.same(faults, [])
  })

  t.test('what is saved twice is sent once', async (t) => {
    const { page, faults } = await visit('/console/settings')
    await settled(page)
    await slowDown(page)
    const sent = countRequests(page, '/api/tenant', (_, method) => method === 'PATCH')
    await page.getByLabel('Time zone').fill('Europe/Lisbon')
    await page.getByRole('button', { name: 'Save' }).dblclick()
    await page.getByText('Settings saved').waitFor()
    t.equal(sent(), 1)
    t.match(await call('GET', '/api/tenant'), { time_zone: 'Europe/Lisbon' })
    t.same(faults, [])
  })

  t.test('a form that Enter sends twice makes one thing', async (t) => {
    const { page, faults } = await visit('/console/keys')
    await settled(page)
    await slowDown(page)
    const sent = countRequests(page, '/api/keys', (_, method) => method === 'POST')
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByLabel('Name').fill('Shop backend')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'I have stored it' }).click()
    t.equal(sent(), 1)
    t.equal((await call<{ data: unknown[] }>('GET', '/api/keys')).data.length, 1)
    t.same(faults, [])
  })

  t.test('a confirmation that is pressed twice is done once', async (t) => {
    const { page, faults } = await visit('/console/plugins/mailer')
    await settled(page)
    await slowDown(page)
    const sent = countRequests(page, '/api/plugins/mailer/pause')
    await page.getByRole('button', { name: 'Pause', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).dblclick()
    await page.getByText('The plugin is paused').waitFor()
    t.equal(sent(), 1)
    t.match(await call('GET', '/api/plugins/mailer'), { status: 'paused' })
    t.same(faults, [])
  })
})
