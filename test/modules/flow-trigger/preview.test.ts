import t from 'tap'
import { startApp } from '#test/support/app.ts'

const service = await startApp(t)
const URL = '/api/automation/schedules/preview'

t.test('a schedule shows its next ten times, over a change of clocks', async (t) => {
  const shown = await service
    .tenant()
    .post(URL, { cron: '0 9 * * *', timezone: 'Europe/Lisbon', after: '2026-03-27T12:00:00Z' })
  t.equal(shown.statusCode, 200, shown.body)
  const { times, notes } = shown.json<{ times: string[]; notes: string[] }>()
  t.equal(times.length, 10)
  t.strictSame(times.slice(0, 3), [
    '2026-03-28T09:00:00.000Z',
    '2026-03-29T08:00:00.000Z',
    '2026-03-30T08:00:00.000Z',
  ])
  t.strictSame(notes, [])
})

t.test('one that names days of the month and of the week comes due on either, and says so', async (t) => {
  const shown = await service.tenant().post(URL, { cron: '0 9 1-7 * MON', after: '2026-06-01T00:00:00Z' })
  const { times, notes, timezone } = shown.json<{ times: string[]; notes: string[]; timezone: string }>()
  t.equal(timezone, 'UTC')
  t.ok(times.includes('2026-06-02T09:00:00.000Z') && times.includes('2026-06-08T09:00:00.000Z'))
  t.match(notes, [/MON#1/])
  const first = await service.tenant().post(URL, { cron: '0 9 * * MON#1', after: '2026-06-01T00:00:00Z' })
  t.strictSame(first.json<{ times: string[] }>().times.slice(0, 3), [
    '2026-06-01T09:00:00.000Z',
    '2026-07-06T09:00:00.000Z',
    '2026-08-03T09:00:00.000Z',
  ])
})

t.test('what is wrong with it is told by field', async (t) => {
  for (const [body, pointer] of [
    [{ cron: '61 9 * * *' }, '/cron'],
    [{ cron: '0 0 9 * * *' }, '/cron'],
    [{ cron: 'every day' }, '/cron'],
    [{ cron: '0 9 * * *', timezone: 'Mars/Base' }, '/timezone'],
    [{ cron: '0 9 * * *', after: 'soon' }, '/after'],
    [{}, '/cron'],
  ] as const) {
    const refused = await service.tenant().post(URL, body)
    t.match(refused.json(), { status: 400, errors: [{ pointer }] }, JSON.stringify(body))
  }
  const never = await service.tenant().post(URL, { cron: '0 9 30 2 *' })
  t.match(never.json(), { times: [] })
})
