import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { answerOf, FLOWS } from '../support.ts'

t.setTimeout(120_000)
const world = await startApp(t)

interface Answer {
  end: { status: string; error: { code: string } | null } | null
  steps: {
    step_id: string
    output: Record<string, unknown> | null
    note: string | null
    error: { code: string } | null
  }[]
}

type Shop = ReturnType<typeof world.tenant>

async function openShop(calendar: object = { time_zone: 'Europe/Lisbon' }): Promise<Shop> {
  const shop = world.tenant()
  const answer = await shop.patch('/api/tenant', calendar)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return shop
}

/** Tests a flow that begins with the step. */
async function take(
  shop: Shop,
  step: object,
  now: string,
  data: object = {},
  more: object = {},
): Promise<Answer> {
  const task = { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'x' } }
  const definition = {
    name: 'Times',
    trigger: { type: 'manual' },
    steps: [{ id: 'first', ...step }, task],
    ...more,
  }
  return answerOf<Answer>(await shop.post(`${FLOWS}/test`, { definition, data, now }))
}

/** Returns the time until which a delay waits; a failure is its code. */
async function waits(shop: Shop, delay: object, now: string, data: object = {}): Promise<unknown> {
  const { end, steps } = await take(shop, { type: 'delay', ...delay }, now, data)
  return steps[0]?.output?.['waited_until'] ?? steps[0]?.error?.code ?? end?.status
}

async function sets(
  shop: Shop,
  template: string,
  data: object = {},
  now = '2026-07-01T12:00:00Z',
): Promise<unknown> {
  const { steps } = await take(shop, { type: 'set', variables: { v: template } }, now, data)
  return steps[0]?.output?.['v'] ?? steps[0]?.error?.code
}

async function holds(shop: Shop, test: object, data: object, now = '2026-07-01T12:00:00Z'): Promise<unknown> {
  const { steps } = await take(shop, { type: 'condition', condition: test }, now, data)
  return steps[0]?.output?.['result']
}

t.test('a delay until nine is until nine, on both days on which Lisbon changes its clocks', async (t) => {
  const shop = await openShop()
  const spring = '2026-03-29T00:30:00Z'
  const autumn = '2026-10-25T00:30:00Z'
  t.equal(await waits(shop, { at: '09:00' }, spring), '2026-03-29T08:00:00.000Z')
  t.equal(await waits(shop, { at: '09:00' }, autumn), '2026-10-25T09:00:00.000Z')
  t.equal(
    await waits(shop, { at: '01:30' }, spring),
    '2026-03-29T01:00:00.000Z',
    'the hour that there is not',
  )
  t.equal(await waits(shop, { at: '01:30' }, autumn), '2026-10-26T01:30:00.000Z', 'the hour that comes twice')
  t.equal(await waits(shop, { duration: '1 day' }, spring), '2026-03-30T00:30:00.000Z', 'a day has 24 hours')
  t.equal(await waits(shop, { duration: '1 day', at: '09:00' }, spring), '2026-03-30T08:00:00.000Z')
  t.equal(await waits(shop, { business_days: 1 }, '2026-03-27T15:00:00Z'), '2026-03-30T14:00:00.000Z')
  t.equal(
    await waits(shop, { business_days: 1, at: '09:00' }, '2026-10-23T15:00:00Z'),
    '2026-10-26T09:00:00.000Z',
  )
})

t.test('the zone is the step’s, else the trigger’s, else the shop’s', async (t) => {
  const shop = await openShop()
  const now = '2026-07-01T12:00:00Z'
  t.equal(await waits(shop, { at: '09:00' }, now), '2026-07-02T08:00:00.000Z')
  t.equal(
    await waits(shop, { at: '09:00' }, now, { time_zone: 'America/New_York' }),
    '2026-07-01T13:00:00.000Z',
  )
  t.equal(await waits(shop, { at: '09:00' }, now, { timezone: 'Asia/Tokyo' }), '2026-07-02T00:00:00.000Z')
  t.equal(await waits(shop, { at: '09:00' }, now, { time_zone: 'Nowhere' }), '2026-07-02T08:00:00.000Z')
  const named = { at: '{{trigger.at}}', timezone: '{{trigger.zone}}' }
  t.equal(await waits(shop, named, now, { at: '18:30', zone: 'Asia/Tokyo' }), '2026-07-02T09:30:00.000Z')
  t.equal(await waits(shop, named, now, { at: '18:30', zone: 'Nowhere' }), 'invalid_timezone')
  t.equal(await waits(shop, named, now, { at: '6 pm', zone: 'UTC' }), 'invalid_time')
  t.equal(
    await waits(await openShop({ strict_events: true }), { at: '09:00' }, now),
    '2026-07-02T09:00:00.000Z',
  )
})

t.test('weekdays and business days are waited for, holidays left out', async (t) => {
  const shop = await openShop({
    time_zone: 'Europe/Lisbon',
    business_days: { holidays: ['2026-12-25', '2026-12-28'] },
  })
  const eve = '2026-12-24T18:00:00Z'
  t.equal(await waits(shop, { at: '09:00', business_days: true }, eve), '2026-12-29T09:00:00.000Z')
  t.equal(await waits(shop, { business_days: 2, at: '10:00' }, eve), '2026-12-30T10:00:00.000Z')
  t.equal(await waits(shop, { weekdays: ['sat', 'SUN'] }, eve), '2026-12-26T18:00:00.000Z')
  t.equal(await waits(shop, { weekdays: ['THU'] }, eve), eve.replace('Z', '.000Z'), 'today is one')
  t.equal(
    await waits(shop, { duration: '2 days', at: '09:00', weekdays: ['MON'] }, eve),
    '2026-12-28T09:00:00.000Z',
  )
  const closed = await openShop({ business_days: { weekdays: ['MON'] } })
  t.equal(await waits(closed, { at: '09:00', weekdays: ['SUN'], business_days: true }, eve), 'no_such_day')
})

t.test('a time is read in its zone, as text, a date or seconds or milliseconds since 1970', async (t) => {
  const shop = await openShop()
  const now = '2026-07-01T12:00:00Z'
  const until = { until: '{{trigger.at}}' }
  const cases: [at: unknown, wanted: string][] = [
    ['2026-07-04T14:30:00', '2026-07-04T13:30:00.000Z'],
    ['2026-07-04 14:30', '2026-07-04T13:30:00.000Z'],
    ['2026-07-04T14:30:00Z', '2026-07-04T14:30:00.000Z'],
    ['2026-07-04T14:30:00+03:00', '2026-07-04T11:30:00.000Z'],
    ['2026-07-04', '2026-07-03T23:00:00.000Z'],
    [1_783_161_000, '2026-07-04T10:30:00.000Z'],
    [1_783_161_000_000, '2026-07-04T10:30:00.000Z'],
    ['1783161000', '2026-07-04T10:30:00.000Z'],
    ['1783161000000', '2026-07-04T10:30:00.000Z'],
    [5, 'invalid_time'],
    ['5', 'invalid_time'],
    ['tomorrow', 'invalid_time'],
    [true, 'invalid_time'],
  ]
  for (const [at, wanted] of cases) t.equal(await waits(shop, until, now, { at }), wanted, JSON.stringify(at))
  t.equal(
    await waits(shop, { ...until, timezone: 'Asia/Tokyo' }, now, { at: '2026-07-04T14:30:00' }),
    '2026-07-04T05:30:00.000Z',
  )
  t.equal(await waits(shop, { until: '2026-07-04T14:30' }, now), '2026-07-04T13:30:00.000Z')
})

t.test('templates read and write times in the zone, and dates stay dates', async (t) => {
  const shop = await openShop()
  const at = '2026-07-04T14:30:00'
  const day = '2026-07-04'
  const cases: [template: string, data: object, wanted: unknown][] = [
    ['{{trigger.at | date: "%H:%M"}}', { at }, '14:30'],
    ['{{trigger.at | date: "%H:%M"}}', { at: `${at}Z` }, '15:30'],
    ['{{trigger.at | date: "%H:%M", "UTC"}}', { at }, '13:30'],
    ['{{trigger.at | date: "%A %-d", "America/Los_Angeles"}}', { at: day }, 'Saturday 4'],
    ['{{trigger.at | in_zone}}', { at: `${at}Z` }, '2026-07-04T15:30:00+01:00'],
    ['{{trigger.at | in_zone: "America/St_Johns"}}', { at: `${at}Z` }, '2026-07-04T12:00:00-02:30'],
    ['{{trigger.at | in_zone}}', { at: day }, day],
    ['{{trigger.at | in_zone}}', { at: 1_783_161_000 }, '2026-07-04T11:30:00+01:00'],
    ['{{trigger.at | add: "1 day"}}', { at: day }, '2026-07-05'],
    ['{{trigger.at - 2 days}}', { at: day }, '2026-07-02'],
    ['{{trigger.at + 2 hours}}', { at: day }, '2026-07-04T01:00:00.000Z'],
    ['{{trigger.at + 1 hour}}', { at }, '2026-07-04T14:30:00.000Z'],
    ['{{trigger.at + 1 hour}}', { at: 1_783_161_000 }, '2026-07-04T11:30:00.000Z'],
    ['{{trigger.at | date: "%H:%M"}}', { at, time_zone: 'Asia/Tokyo' }, '14:30'],
    ['{{trigger.at | date: "%H:%M %z"}}', { at: `${at}Z`, time_zone: 'Asia/Tokyo' }, '23:30 +0900'],
    ['{{tenant.time_zone}}', {}, 'Europe/Lisbon'],
    [
      '{% if trigger.at before "2026-07-04T14:00" %}a{% else %}b{% endif %}',
      { at: '2026-07-04T13:30:00Z' },
      'b',
    ],
    [
      '{% if trigger.at before "2026-07-04T14:00" %}a{% else %}b{% endif %}',
      { at: '2026-07-04T12:59:00Z' },
      'a',
    ],
  ]
  for (const [template, data, wanted] of cases) t.equal(await sets(shop, template, data), wanted, template)
})

t.test('conditions compare times in the zone, and numbers that are times', async (t) => {
  const shop = await openShop()
  const before = { field: 'at', operator: 'before', value: '2026-07-04T14:30:00' }
  t.equal(await holds(shop, before, { at: '2026-07-04T13:29:00Z' }), true)
  t.equal(await holds(shop, before, { at: '2026-07-04T13:31:00Z' }), false)
  t.equal(await holds(shop, before, { at: 1_783_161_000 }), true)
  t.equal(await holds(shop, before, { at: '1783999000000' }), false)
  const soon = { field: 'at', operator: 'within_next', value: '2 hours' }
  t.equal(await holds(shop, soon, { at: '2026-07-01T14:30' }), true, '13:30 in UTC')
  t.equal(await holds(shop, soon, { at: '2026-07-01T14:30', time_zone: 'UTC' }), false)
  t.equal(await holds(shop, soon, { at: Date.parse('2026-07-01T13:00:00Z') / 1000 }), true)
  const june = { field: 'at', operator: 'between', value: ['2026-06-01', '2026-06-30'] }
  t.equal(await holds(shop, june, { at: Date.parse('2026-06-15T00:00:00Z') }), true)
  t.equal(await holds(shop, june, { at: 5 }), false)
})

t.test('a message that is held back is simulated as of when it would be sent', async (t) => {
  const shop = await openShop({ time_zone: 'Europe/Lisbon', quiet_hours: { from: '21:00', to: '08:00' } })
  const mail = { type: 'message', channel: 'email', to: 'a@example.com', subject: 'x', body: 'y' }
  const ends = async (more: object, settings: object, now: string) => {
    const { end } = await take(shop, { ...mail, ...more }, now, {}, { settings })
    return (
      (end as { finished_at?: string; error?: { code: string } | null } | null)?.error?.code ??
      (end as { finished_at?: string } | null)?.finished_at
    )
  }
  const night = '2026-03-29T00:30:00Z'
  t.equal(await ends({}, {}, night), '2026-03-29T00:30:00.000Z', 'who does not ask for it')
  t.equal(await ends({ respect_quiet_hours: true }, {}, night), '2026-03-29T07:00:00.000Z')
  t.equal(await ends({ respect_quiet_hours: true }, {}, '2026-10-25T00:30:00Z'), '2026-10-25T08:00:00.000Z')
  const send_window = { from: '10:00', to: '12:00', business_days: true }
  t.equal(await ends({}, { send_window }, night), '2026-03-30T09:00:00.000Z', 'on Monday')
  t.equal(
    await ends({}, { send_window: { ...send_window, timezone: 'Asia/Tokyo' } }, night),
    '2026-03-30T01:00:00.000Z',
  )
  const atNight = { from: '22:00', to: '23:00' }
  t.equal(await ends({ respect_quiet_hours: true }, { send_window: atNight }, night), 'send_window_closed')
})
