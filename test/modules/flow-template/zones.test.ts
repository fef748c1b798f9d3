import t from 'tap'
import { DAY_MS, HOUR_MS, startPlatformWorld } from './support.ts'
import { TEMPLATES } from '#modules/flow-template/templates/index.ts'

t.setTimeout(240_000)
const world = await startPlatformWorld(t)

/** An appointment at ten o'clock, two days after everything begins, and the clocks change in between. */
const PLACES = [
  {
    zone: 'Europe/Lisbon',
    change: '2027-03-28T01:00:00Z',
    starts: '2027-03-29T09:00:00Z',
    date: '2027-03-29',
    day: 'Monday 29 March',
  },
  {
    zone: 'America/New_York',
    change: '2027-03-14T07:00:00Z',
    starts: '2027-03-15T14:00:00Z',
    date: '2027-03-15',
    day: 'Monday 15 March',
  },
  {
    zone: 'Pacific/Auckland',
    change: '2027-04-03T14:00:00Z',
    starts: '2027-04-04T22:00:00Z',
    date: '2027-04-05',
    day: 'Monday 5 April',
  },
] as const

for (const { zone, change, starts, date, day } of PLACES) {
  t.test(`the ten ready-made flows run in ${zone} while its clocks change`, async (t) => {
    const shop = await world.open()
    t.equal((await shop.tenant.patch('/api/tenant', { time_zone: zone })).statusCode, 200)
    const begin = Date.parse(starts) - 2 * DAY_MS
    t.ok(begin < Date.parse(change) && Date.parse(change) < begin + DAY_MS)
    shop.moveTo(new Date(begin).toISOString())
    const flows = new Map<string, string>()
    // Those that tell of trouble wait for some: trouble.test.ts.
    const ready = TEMPLATES.filter(({ category }) => category !== 'operations')
    for (const { id } of ready) flows.set(id, await shop.install(id))
    t.equal(flows.size, 10)
    const subjects = async () => (await shop.sent()).map(({ subject }) => subject).sort()
    const said: string[] = []
    const nowSaid = async (more: string[], when: string) => {
      said.push(...more)
      t.same(await subjects(), said.toSorted(), when)
    }

    const bo = await shop.ask('POST', '/api/customers', { email: 'bo@example.com', name: 'Bo' })
    const product = await shop.ask('POST', '/api/products', {
      name: 'Apron',
      price: 39.9,
      stock: 9,
      sku: 'APR-1',
    })
    const items = [{ product_id: product['product_id'], quantity: 1 }]
    const open = await shop.ask('POST', '/api/orders', { customer_id: bo['customer_id'], items })
    const cy = await shop.ask('POST', '/api/customers', { email: 'cy@example.com', name: 'Cy' })
    const shipped = await shop.ask('POST', '/api/orders', { customer_id: cy['customer_id'], items })
    // Its reminder waits before the payment comes.
    await shop.settle()
    for (const status of ['paid', 'shipped']) {
      await shop.ask('PUT', `/api/orders/${shipped['order_id'] as string}/status`, { status })
    }
    await shop.ask('PUT', `/api/products/${product['product_id'] as string}`, { stock: 1 })
    await shop.ask('POST', '/api/leads', { name: 'Dee', email: 'dee@example.com' })
    const eve = await shop.ask('POST', '/api/leads', { name: 'Eve', email: 'eve@example.com' })
    await shop.ask('PUT', `/api/leads/${eve['lead_id'] as string}`, { status: 'won' })
    const booking = await shop.ask('POST', '/api/bookings', {
      customer_id: cy['customer_id'],
      service: { service_id: 'srv_1', name: 'Fitting' },
      starts_at: starts,
      ends_at: new Date(Date.parse(starts) + HOUR_MS).toISOString(),
      time_zone: zone,
    })
    // Of a system that means the clocks of the shop, and says so by nothing.
    const customer = { name: 'Flo', email: 'flo@example.com' }
    const local = {
      status: 'confirmed',
      starts_at: `${date}T10:00:00`,
      service: { name: 'Fitting' },
      customer,
    }
    await shop.send('booking.created', { ...local, booking_id: 'book_local' })
    await shop.settle()
    await nowSaid(
      [
        'Welcome, Bo!',
        'Welcome, Cy!',
        'Welcome, Eve!',
        `Your order ${shipped['number'] as string} is on its way`,
        'Thank you for your interest, Dee',
        'Thank you for your interest, Eve',
        'Lead Eve: won',
        'Your appointment is confirmed',
        'Your appointment is confirmed',
      ],
      'at once',
    )
    const timesIn = async (subject: string) =>
      (await shop.sent())
        .filter((each) => each.subject === subject)
        .map(({ body }) => /Fitting, (.*)\./.exec(body ?? '')?.[1])
    const ten = `${day} 2027, 10:00`
    t.same(await timesIn('Your appointment is confirmed'), [ten, ten], 'by the clocks of then')
    const [task] = await shop.rows<{ title: string; due_date: string }>('tasks')
    t.equal(task?.title, 'Reorder Apron')
    const due = Date.parse(task?.due_date ?? '') - begin - 2 * DAY_MS
    t.ok(due >= 0 && due < 10 * 60_000, 'two days later, to the hour')

    await shop.after(4 * HOUR_MS - 10 * 60_000)
    await nowSaid([], 'not before four hours have passed')
    await shop.after(10 * 60_000)
    await nowSaid([`Your order ${open['number'] as string} is waiting for you`], 'after four hours')
    shop.moveTo(new Date(begin + DAY_MS - 60_000).toISOString())
    await shop.settle()
    await nowSaid([], 'not before a day ahead of the appointment')
    shop.moveTo(new Date(begin + DAY_MS + 1_000).toISOString())
    await shop.settle()
    await nowSaid(['See you soon', 'See you soon'], 'a day of 24 hours ahead of it, whatever the clocks did')
    t.same(await timesIn('See you soon'), [ten, ten])

    shop.moveTo(new Date(begin + 2 * DAY_MS + HOUR_MS).toISOString())
    await shop.ask('PUT', `/api/bookings/${booking['booking_id'] as string}/status`, { status: 'completed' })
    await shop.settle()
    await shop.after(DAY_MS + 1_000)
    await nowSaid(
      ['How was it?', 'Do you have any questions?'],
      'after the appointment, and three days after the lead',
    )
    await shop.after(4 * DAY_MS)
    await nowSaid(['Are you still interested?'], 'a week after it')
    for (const [template, flow] of flows) {
      const ends = await shop.outcomes(flow)
      t.ok(ends.length > 0, `${template} has run`)
      t.notOk(
        ends.some((end) => /^(?:failed|waiting|running|queued)/.test(end)),
        `${template}: ${ends.join(', ')}`,
      )
    }
  })
}

t.test('names are text in what ready-made flows write, whatever the format is', async (t) => {
  const shop = await world.open()
  await shop.install('welcome_customer', { shop_name: 'Linen & Co' })
  await shop.install('welcome_customer', { shop_name: 'Linen & Co', format: 'html' })
  const own = '<h1>Hi {{trigger.name}}</h1>\nthere'
  await shop.install('lead_welcome', { format: 'html', body: own })
  const name = '<b>Ana</b> & "Co"'
  await shop.ask('POST', '/api/customers', { email: 'ana@example.com', name })
  await shop.ask('POST', '/api/leads', { email: 'leo@example.com', name })
  await shop.settle()
  const sent = await shop.sent()
  const [text] = sent.filter((each) => each.text !== undefined)
  t.match(text?.text, `Hello ${name},\n\n`)
  t.match(text?.text, /Linen & Co$/)
  const written = '&lt;b&gt;Ana&lt;/b&gt; &amp; &quot;Co&quot;'
  const html = sent.flatMap((each) => (each.html === undefined ? [] : [each.html])).sort()
  t.equal(html[0], `<h1>Hi ${written}</h1>\nthere`, 'whoever writes markup has written all of it')
  t.match(html[1], `Hello ${written},<br>\n<br>\n`)
  t.match(html[1], /Linen &amp; Co$/)
})
