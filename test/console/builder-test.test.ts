import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, type Console, noConsole, startConsole } from './support/console.ts'
import { becomes, middleOf } from './support/wait.ts'

interface Flow {
  id: string
  definition: { settings?: unknown; variables?: unknown; [member: string]: unknown }
}

const FLOWS = '/api/automation/flows'
const SCHEMES = ['light', 'dark'] as const

const form = (page: Page) => page.getByRole('region', { name: 'Form' })
const card = (page: Page, id: string) => page.locator(`[data-step="${id}"]`)
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)
const views = (page: Page) => page.getByRole('navigation', { name: 'Views' })

async function test(page: Page): Promise<void> {
  // The result of the test before may still be shown.
  const answer = page.waitForResponse(/\/api\/automation\/flows\/[^/]+\/test$/)
  await page.getByRole('button', { name: 'Test', exact: true }).click()
  await answer
}

t.test('test mode and settings', { skip: noConsole }, async (t) => {
  const shop = await startConsole(t)
  const { call, visit } = shop
  await testsPastEvents(t, { call, visit })
  await backTests(t, { call, visit })
  await testsItems(t, { call, visit })
  await testsUpTo(t, { call, visit })
  await showsSamples(t, { call, visit })
  await checksLive(t, shop)
  await tellsOfPlatform(t, { call, visit })
  await storesSettings(t, { call, visit })
})

/** An event as the shop sends it; its id here. */
async function send(call: Console['call'], event: string, id: string, data: unknown): Promise<string> {
  await call('POST', '/api/events', { event, id, data })
  return (await call<{ id: string }>('GET', `/api/events/${id}`)).id
}

async function testsPastEvents(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('tests on a past event with mocks, and nothing leaves the house', async (t) => {
    const receiver = await startReceiver(t)
    const tell = (id: string, name: string) => {
      return { id, type: 'http', name, method: 'POST', url: `${receiver.url}/${id}`, body: {} }
    }
    await send(call, 'order.created', 'ord_large', { total: 120, email: 'ana@example.com' })
    await send(call, 'order.created', 'ord_small', { total: 10, email: 'bea@example.com' })
    const other = await send(call, 'customer.created', 'cus_1', { email: 'cleo@example.com' })
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Large orders',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [
        {
          id: 'large',
          type: 'condition',
          name: 'Is large',
          condition: { field: 'trigger.total', operator: 'gte', value: 50 },
          on_true: 'shop',
          on_false: 'end',
        },
        { ...tell('shop', 'Tell the shop'), on_success: 'end', on_error: 'alarm' },
        { ...tell('alarm', 'Raise the alarm'), on_success: 'end' },
      ],
    })
    const { page, faults } = await visit(`/console/flows/${flow.id}?tab=test`, {
      viewport: { width: 1440, height: 1000 },
    })
    const radios = page.getByRole('radio')
    const search = page.getByRole('searchbox', { name: 'Search by id, or paste one' })
    await page.getByLabel('Begins with').selectOption('event')
    await page.getByRole('radio', { name: /ord_small/ }).waitFor()
    await becomes(t, async () => radios.count(), 2, 'events that start it, and no others')
    t.match(
      await page.locator('label:has([type="radio"])').first().textContent(),
      /ord_small/,
      'newest first',
    )
    t.ok(await page.getByRole('button', { name: 'Test', exact: true }).isDisabled())
    const drawn = await middleOf(page.locator('.svelte-flow'))
    const first = await middleOf(card(page, 'large'))
    t.ok(Math.abs(drawn.x - first.x) < 200, 'the flow stands in the middle of its canvas')
    await search.fill('ord_l')
    await page.getByRole('radio', { name: /ord_small/ }).waitFor({ state: 'detached' })
    await page.getByRole('radio', { name: /order.created.*ord_large/ }).check()

    await test(page)
    await item(page, 'shop').getByText('simulated').waitFor()
    await card(page, 'shop')
      .getByText(/^would ask POST/)
      .waitFor()
    await page.locator('[data-step="alarm"].faded').waitFor()
    await becomes(
      t,
      async () => page.locator('.faded[data-step="shop"]').count(),
      0,
      'where it came is not faded',
    )
    await card(page, 'shop').click()
    const step = page.getByRole('region', { name: 'Step', exact: true })
    for (const name of ['Would do', 'Input', 'Output'])
      await step.getByRole('heading', { name, exact: true }).waitFor()

    await step.getByLabel('In the test it comes to').selectOption('error')
    // The histories of flows have taken all the room that there is: they make way.
    await page.evaluate(() => {
      for (let [index, length] = [0, 1 << 20]; length > 0; index++) {
        try {
          sessionStorage.setItem(`bcs.history.${index}`, 'x'.repeat(length))
        } catch {
          length >>= 1
        }
      }
    })
    await step.getByLabel('Code of the error').fill('no_mailbox')
    await step.getByLabel('Code of the error').press('Tab')
    await card(page, 'shop').getByText('mock: error no_mailbox').waitFor()
    await item(page, 'alarm').click()
    await step.getByLabel('In the test it comes to').selectOption('output')
    await step.getByLabel('Answer (JSON)').fill('{ "status": 200, "body": { "ticket": 7 } }')
    await item(page, 'alarm').getByText('mock: answer').waitFor()
    await test(page)
    await item(page, 'shop').getByText('failed').waitFor()
    await item(page, 'alarm').getByText('simulated').waitFor()
    await step.getByText('ticket:').waitFor()
    t.same(await accessibilityFaults(page), [])

    await page.reload()
    await item(page, 'shop').getByText('mock: error no_mailbox').waitFor()
    // The event is kept as well.
    await page.getByRole('radio', { name: /ord_large/, checked: true }).waitFor()
    await test(page)
    await item(page, 'alarm').getByText('simulated').waitFor()
    await page.getByRole('button', { name: 'Clear the mocks (2)' }).click()
    await item(page, 'shop').getByText('mock:').waitFor({ state: 'detached' })
    await test(page)
    await item(page, 'alarm').getByText('simulated').waitFor({ state: 'detached' })

    await search.fill(other)
    await page.getByRole('radio', { name: /customer.created.*cus_1/, checked: true }).waitFor()
    await test(page)
    await page.getByText('It would not start:').waitFor()
    t.equal(receiver.received.length, 0, 'nothing left the house')
    t.same(faults, [])
  })

  await t.test('tests what is in the builder, saved or not', async (t) => {
    await send(call, 'order.created', 'ord_middle', { total: 70 })
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Not saved yet',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [{ id: 'pause', type: 'delay', duration: '1 day' }],
    })
    for (const [colorScheme, duration] of [
      ['light', '2 days'],
      ['dark', '3 days'],
    ] as const) {
      const { page, faults } = await visit(`/console/flows/${flow.id}?step=pause`, { colorScheme })
      await form(page)
        .getByRole('textbox', { name: /^For so long/ })
        .fill(duration)
      await views(page).getByRole('link', { name: 'Test' }).click()
      await page.getByLabel('Begins with').selectOption('event')
      await page.getByRole('radio', { name: /ord_middle/ }).check()
      await test(page)
      await card(page, 'pause').getByText(duration, { exact: true }).waitFor()
      // Saved by itself, beside the test.
      await becomes(
        t,
        async () => {
          const { definition } = await call<Flow>('GET', `${FLOWS}/${flow.id}`)
          return (definition['steps'] as { duration: string }[])[0]?.duration
        },
        duration,
      )
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })
}

async function backTests(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('tries the draft on past events, and counts what it would have done', async (t) => {
    const receiver = await startReceiver(t)
    for (const [index, total] of [5, 80, 90].entries()) {
      await send(call, 'order.paid', `paid_${index}`, { total })
    }
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Paid orders',
      status: 'draft',
      triggers: [
        {
          type: 'event',
          event_types: ['order.paid'],
          filter: { field: 'total', operator: 'gte', value: 50 },
        },
      ],
      steps: [
        { id: 'tell', name: 'Tell them', type: 'http', method: 'POST', url: `${receiver.url}/`, body: {} },
      ],
    })
    for (const colorScheme of SCHEMES) {
      const { page, faults } = await visit(`/console/flows/${flow.id}?tab=test`, { colorScheme })
      const part = page.getByRole('region', { name: 'On past events' })
      await part.getByRole('button', { name: 'Try them' }).click()
      await part.getByText('It would have started 2 of 3 times.').waitFor()
      await part.getByRole('row', { name: 'Tell them 2' }).waitFor()
      await part.getByRole('row', { name: 'the filter of the trigger was not met 1' }).waitFor()
      await part.locator('summary').click()
      await part.getByRole('row', { name: /paid_0/ }).waitFor()
      t.same(await accessibilityFaults(page), [])
      // It is looked at as it was tried, whatever else was chosen for the next test.
      await page.getByLabel('Time of the test').fill('2030-06-01T10:00')
      await page.getByRole('checkbox', { name: 'Go on even if it would not start' }).check()
      const asked = page.waitForRequest(/\/test$/)
      await part.getByRole('button', { name: 'Look at it: paid_2' }).click()
      t.match((await asked).postDataJSON(), { start_anyway: false, now: /^20(?!30)/, mocks: {} })
      await item(page, 'tell').getByText('simulated').waitFor()
      t.notMatch(await page.getByLabel('Time of the test').inputValue(), /^(2030|$)/)
      t.equal(await page.getByLabel('Begins with').inputValue(), 'event')
      t.same(faults, [])
    }
    const tested = await call<{ data: { detail: object }[] }>('GET', '/api/audit-log?action=flow.tested')
    t.equal(
      tested.data.filter(({ detail }) => 'events' in detail).length,
      SCHEMES.length,
      'one entry for all events',
    )

    // Of a service that gets through one event at a time, each of which takes too long.
    const { page } = await visit(`/console/flows/${flow.id}?tab=test`)
    const asked: number[] = []
    await page.route(/\/test\/events$/, async (route) => {
      const response = await route.fetch()
      const answer = (await response.json()) as { results: { start: { would_start: boolean } }[] }
      asked.push(answer.results.length)
      const results = answer.results
        .slice(0, 1)
        .map((each) => ({ ...each, end: null, limit: each.start.would_start ? 'time' : null }))
      await route.fulfill({ response, json: { ...answer, results, complete: asked.length === 3 } })
    })
    const part = page.getByRole('region', { name: 'On past events' })
    await part.getByRole('button', { name: 'Try them' }).click()
    await part.getByRole('row', { name: 'The test was ended after five seconds. 2' }).waitFor()
    await part.locator('summary').click()
    await part.getByRole('row', { name: /paid_2.*The test was ended after five seconds/ }).waitFor()
    t.equal(await part.getByText('completed').count(), 0)
    t.same(asked, [3, 2, 1])
    t.equal(receiver.received.length, 0, 'nothing left the house')
  })
}

async function testsItems(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('tests at another time, with a mock for one item of a loop', async (t) => {
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Items',
      status: 'draft',
      triggers: [{ type: 'manual' }],
      steps: [
        { id: 'until', type: 'delay', duration: '1 day' },
        {
          id: 'each',
          type: 'for_each',
          list: '{{trigger.items}}',
          item_errors: 'continue',
          body: [{ id: 'ask', type: 'http', url: 'https://api.example.com/{{item}}' }],
        },
      ],
    })
    const { page, faults } = await visit(`/console/flows/${flow.id}?tab=test&step=ask`, {
      timezoneId: 'Europe/Berlin',
    })
    const step = page.getByRole('region', { name: 'Step', exact: true })
    await page.getByLabel('Begins with').selectOption('own')
    await page.getByLabel('Data').fill('{ "items": ["a", "b"] }')
    await page.getByLabel('Time of the test').fill('2030-06-01T10:00')
    await step.getByLabel('Given for').selectOption('1')
    await step.getByLabel('In the test it comes to').selectOption('error')
    await card(page, 'ask').getByText('item 1, mock: error http_4xx').waitFor()
    await test(page)
    await step.getByLabel('Item of the loop').waitFor()
    await step.getByText('Given for the test').waitFor()
    await step.getByLabel('Item of the loop').selectOption('0')
    await step.getByText('Given for the test').waitFor({ state: 'detached' })
    t.same(await accessibilityFaults(page), [])
    await item(page, 'until').click()
    await card(page, 'until')
      .getByText(/^would wait until 2 Jun 2030, 10:00/)
      .waitFor()
    t.same(faults, [])
  })
}

async function testsUpTo(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('tests up to a step, from the builder, though what is behind it is wrong', async (t) => {
    const receiver = await startReceiver(t)
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Half done',
      status: 'draft',
      triggers: [{ type: 'manual' }],
      steps: [
        { id: 'tell', type: 'http', name: 'Tell them', url: `${receiver.url}/`, on_success: 'pause' },
        { id: 'pause', type: 'delay', duration: 'soon', next: 'end' },
      ],
    })
    for (const [locale, colorScheme] of [
      ['en-GB', 'light'],
      ['de-DE', 'dark'],
    ] as const) {
      const isGerman = locale === 'de-DE'
      const { page, faults } = await visit(`/console/flows/${flow.id}?step=tell`, { locale, colorScheme })
      await page.getByRole('button', { name: isGerman ? 'Bis hierher testen…' : 'Test to here…' }).click()
      await page.waitForURL(/tab=test/)
      const part = page.getByRole('region', { name: isGerman ? 'Schritt' : 'Step', exact: true })
      const upTo = part.getByRole('button', { name: isGerman ? 'Bis hierher testen' : 'Test up to here' })
      const asked = page.waitForRequest(/\/test$/)
      await upTo.click()
      t.match((await asked).postDataJSON(), { until: 'tell' })
      await page
        .getByText(
          isGerman
            ? 'Der Test endete nach „Tell them“, wie verlangt.'
            : 'The test ended after “Tell them”, as asked.',
        )
        .waitFor()
      await item(page, 'tell')
        .getByText(isGerman ? 'durchgespielt' : 'simulated')
        .waitFor()
      await page.locator('.faded[data-step="pause"]').waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])

      await item(page, 'pause').click()
      await upTo.click()
      await page.getByRole('alert').first().waitFor()
      t.match(faults, [/422/, /422/], 'of what is wrong on the way itself the service tells')
    }
    t.equal(receiver.received.length, 0, 'nothing left the house')
  })
}

async function showsSamples(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('shows expressions with the values of a past event', async (t) => {
    await send(call, 'order.created', 'ord_real', { total: 4711.5, wrapping: 'gold' })
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Real values',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [
        {
          id: 'task',
          type: 'action',
          action_type: 'create_task',
          input: { title: 'Thank for {{trigger.total}}' },
        },
      ],
    })
    const { page, faults } = await visit(`/console/flows/${flow.id}?step=task`)
    const preview = (text: string) => form(page).getByText(`With the sample: ${text}`, { exact: true })
    await form(page).getByText('With the sample: Thank for').waitFor()
    t.equal(await preview('Thank for 4711.5').count(), 0, 'the catalogue’s sample comes first')
    await form(page)
      .getByRole('button', { name: /^Insert data: Title/ })
      .click()
    await form(page).getByText('Sample: from the catalogue').waitFor()
    await form(page).getByRole('button', { name: 'Choose a past event' }).click()
    await form(page)
      .getByRole('radio', { name: /ord_real/ })
      .check()
    await form(page).getByText('Sample: order.created ord_real').waitFor()
    t.same(await accessibilityFaults(page), [])
    await form(page).getByRole('button', { name: 'Back to the data' }).click()
    await form(page)
      .getByRole('option', { name: /trigger.wrapping.*gold/ })
      .waitFor()
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Escape')
    await preview('Thank for 4711.5').waitFor()

    await page.reload()
    await preview('Thank for 4711.5').waitFor()
    await form(page)
      .getByRole('button', { name: /^Insert data: Title/ })
      .click()
    await form(page).getByRole('button', { name: 'Use the catalogue’s sample' }).click()
    await form(page).getByText('Sample: from the catalogue').waitFor()
    t.same(faults, [])
  })
}

async function checksLive(t: Test, { url, call, visit }: Console): Promise<void> {
  const draft = async (name: string): Promise<Flow> =>
    call<Flow>('POST', FLOWS, {
      name,
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [
        { id: 'task', type: 'action', action_type: 'create_task', input: { title: '{{trigger.weight}}' } },
      ],
    })
  const title = (page: Page) => form(page).getByRole('textbox', { name: /^Title/ })

  // The worker was told of such a sample as it is, and such numbers cannot be copied.
  await t.test('checks with a past event whose numbers JavaScript writes otherwise', async (t) => {
    const data = '{ "weight": 12.0, "parts": [{ "grams": 12345678901234567890 }] }'
    const sent = await fetch(`${url}/api/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{ "event": "order.created", "id": "ord_exact", "data": ${data} }`,
    })
    t.equal(sent.status, 202)
    const flow = await draft('Exact')
    const { page, faults } = await visit(`/console/flows/${flow.id}?tab=test`)
    await page.getByLabel('Begins with').selectOption('event')
    await page.getByRole('radio', { name: /ord_exact/ }).check()
    await views(page).getByRole('link', { name: 'Edit' }).click()
    await item(page, 'task').click()
    await form(page).getByText('With the sample: 12', { exact: true }).waitFor()
    await title(page).fill('{{trigger.weight | upperr}}')
    await title(page).and(page.locator('[aria-invalid="true"]')).waitFor()
    await title(page).fill('')
    await form(page)
      .getByRole('button', { name: /^Insert data: Title/ })
      .click()
    await form(page)
      .getByRole('option', { name: /trigger.parts\[0\].grams.*12345678901234567890/ })
      .click()
    await form(page)
      .getByText(/^With the sample: .*12345678901234567890/)
      .waitFor()
    t.same(faults, [])
  })

  await t.test('says so when it cannot check, and the next change tries again', async (t) => {
    const flow = await draft('Unchecked')
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await visit('/console/flows', { colorScheme })
      const script = /compiler\.worker/
      await page.route(script, async (route) =>
        route.fulfill({ contentType: 'text/javascript', body: 'nowhere()' }),
      )
      await page.goto(`${url}/console/flows/${flow.id}?step=task`)
      const alert = page.getByRole('alert').filter({ hasText: 'The check while you edit has failed' })
      await alert.getByText(/nowhere is not defined/).waitFor()
      t.same(await accessibilityFaults(page), [])
      await page.unroute(script)
      await title(page).fill('{{trigger.total')
      await alert.waitFor({ state: 'detached' })
      await title(page).and(page.locator('[aria-invalid="true"]')).waitFor()
    }
  })
}

async function tellsOfPlatform(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test(
    'says that the platform is not connected: in the builder, the test, the first steps',
    async (t) => {
      const flow = await call<Flow>('POST', FLOWS, {
        name: 'Thanks',
        status: 'draft',
        triggers: [{ type: 'event', event_types: ['order.created'] }],
        steps: [
          {
            id: 'mail',
            name: 'Thank',
            type: 'message',
            channel: 'email',
            to: 'a@b.example',
            subject: 'Hi',
            body: 'Hi',
          },
        ],
      })
      for (const colorScheme of SCHEMES) {
        const { page, faults } = await visit(`/console/flows/${flow.id}`, { colorScheme })
        await page.getByRole('button', { name: '1 problem: go there' }).waitFor()
        const problems = page.getByRole('group').filter({ hasText: 'Problems (1)' })
        await problems.locator('summary').press('Enter')
        await problems.getByText('"send_email" fails until the platform is connected').waitFor()
        await views(page).getByRole('link', { name: 'Test' }).click()
        await test(page)
        const outcome = page.getByRole('status').filter({ hasText: 'It would end as' })
        await outcome.getByText('In truth this would fail:').waitFor()
        await outcome.getByText(/Thank.*"send_email" fails until/).waitFor()
        t.same(await accessibilityFaults(page), [])
        t.same(faults, [])
      }
      await call('PUT', '/api/tenant/platform', { url: 'http://127.0.0.1:9' })
      t.match(await call('GET', '/api/tenant'), { has_platform: true })
      t.match(await call('GET', `${FLOWS}/${flow.id}`), { problems: [] })
      await call('PUT', '/api/tenant/platform', { url: null })
    },
  )
}

async function storesSettings(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('stores settings and variables, and keeps what it does not know', async (t) => {
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Settings',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [{ id: 'pause', type: 'delay', duration: '1 day' }],
      settings: { house_rule: 'kept' },
      variables: { rate: 1.5 },
    })
    const { page, faults } = await visit(`/console/flows/${flow.id}`)
    // By the keyboard: messages below a field come and go, and move the pointer's target.
    const fold = async (title: string): Promise<void> =>
      form(page).locator('summary', { hasText: title }).press('Enter')
    const field = (name: RegExp) => form(page).getByRole('textbox', { name })
    await fold('Who comes into it')
    await field(/^Runs belong together by/).fill('{{trigger.customer.id}}')
    await form(page).getByLabel('While one is under way').selectOption('restart')
    await field(/^Again at the earliest/).fill('30 days')
    await form(page).getByRole('button', { name: 'Add an event that ends it' }).click()
    const ends = form(page).getByRole('region', { name: 'Ended early by' })
    await ends.getByRole('combobox', { name: /^Event/ }).fill('order.paid')
    await ends.getByRole('textbox', { name: /^Has to match/ }).fill('trigger.id')
    await fold('When messages are sent')
    await form(page).getByRole('button', { name: 'Only at certain times' }).click()
    await field(/^From/).fill('08:30')
    await form(page).getByRole('checkbox', { name: 'Sun' }).uncheck()
    await form(page).getByRole('checkbox', { name: 'On business days only' }).check()
    await field(/^Time zone/).fill('Europe/Lisbon')
    await fold('If a step fails')
    await field(/^Tries again/).fill('5')
    await field(/^Keeps trying for/).fill('2 hours')
    await field(/^Name of the variable/).fill('greeting')
    await form(page).getByRole('button', { name: 'Add variable' }).click()
    await field(/^greeting/).fill('Hello')
    await field(/^rate/).fill('2.5')

    const lifetime = field(/^Ends at the latest/)
    await lifetime.fill('soon')
    await lifetime.and(page.locator('[aria-invalid="true"]')).waitFor()
    await lifetime.fill('60 days')
    await lifetime.and(page.locator('[aria-invalid="false"]')).waitFor()
    await page.getByText('Draft saved').waitFor()
    const { definition } = await call<Flow>('GET', `${FLOWS}/${flow.id}`)
    t.strictSame(definition.settings, {
      house_rule: 'kept',
      enrolment: {
        key: '{{trigger.customer.id}}',
        while_active: 'restart',
        reenter_after: '30 days',
        cancel_on: [{ event: 'order.paid', match: 'trigger.id' }],
      },
      send_window: {
        from: '08:30',
        to: '20:00',
        weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'],
        business_days: true,
        timezone: 'Europe/Lisbon',
      },
      retry_count: 5,
      patience: '2 hours',
      lifetime: '60 days',
    })
    t.strictSame(definition.variables, { rate: 2.5, greeting: 'Hello' })
    t.same(faults, [])
    for (const colorScheme of SCHEMES) {
      const again = await visit(`/console/flows/${flow.id}`, { colorScheme })
      await form(again.page).getByLabel('house_rule (other field)').waitFor()
      await form(again.page).getByRole('textbox', { name: 'greeting' }).waitFor()
      t.same(await accessibilityFaults(again.page), [])
      t.same(again.faults, [])
    }
  })
}
