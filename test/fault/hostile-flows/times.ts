import { flow, type Hostile, many, set } from './definition.ts'

const CRONS = [
  '* * * * * *',
  '*/0 * * * *',
  '0 0 30 2 *',
  '0 0 31 4,6,9,11 *',
  '0-59/1 0-23/1 1-31/1 1-12/1 0-7/1',
  '60 24 32 13 8',
  `${many(3_000, String).join(',')} * * * *`,
  '@reboot',
  '@every 1s',
  '0 0 L * *',
  '0 0 * * MON#99',
  '-1 * * * *',
  '1e3 * * * *',
  '0 0 1 1 * 1969',
  '* '.repeat(10_000),
  '\u0660 \u0660 * * *',
  '; drop table events',
  '',
]

export function times(): Hostile[] {
  const step = { id: 'a', type: 'stop' }
  const delays: unknown[] = [
    '1e9 days',
    '-1 days',
    '0 seconds',
    'P99999999999Y',
    'PT1e400H',
    '9'.repeat(10_000),
    '{{trigger.text}}',
    '{{trigger.huge}} days',
    null,
    [],
    1e300,
  ]
  const sums = [
    '{{now + 999999999999 days}}',
    '{{now - 999999999999 weeks}}',
    '{{trigger.at + 1 days}}',
    '{{trigger.huge | times: 10}}',
    '{{trigger.huge | divided_by: 0}}',
    '{{trigger.huge | round: 400}}',
    '{{trigger.text | truncate: 1e99}}',
    '{{trigger.text | truncate: -1}}',
    '{{trigger.at | date: "%Y", "Not/AZone"}}',
    `{{now | date: "${'%Y'.repeat(5_000)}"}}`,
    '{{trigger.huge | money: "XXXXXXXX"}}',
    '{{now + {{now}}}}',
  ]
  return [
    ...CRONS.map((cron) =>
      flow(`cron ${cron.slice(0, 30)}`, [step], { trigger: { type: 'schedule', cron, timezone: 'UTC' } }),
    ),
    ...['Mars/Olympus', '../../etc/passwd', '', '+99:99', 'UTC\u0000'].map((timezone) =>
      flow(`zone ${timezone}`, [step], { trigger: { type: 'schedule', cron: '0 9 * * *', timezone } }),
    ),
    ...delays.map((duration) =>
      flow(`delay ${String(duration).slice(0, 30)}`, [{ id: 'wait', type: 'delay', duration }]),
    ),
    ...sums.map((template) => set(`sum ${template.slice(0, 40)}`, template)),
    flow('a delay until the end of time', [
      { id: 'wait', type: 'delay', until: '{{trigger.at}}', offset: '300 days' },
    ]),
    flow('a wait without end', [
      {
        id: 'wait',
        type: 'wait_event',
        any: [{ event: 'order.paid', match: { id: '{{execution.id}}' } }],
        timeout: '1e12 days',
      },
    ]),
    flow('a wait for a thousand events', [
      {
        id: 'wait',
        type: 'wait_event',
        any: many(1_000, (n) => ({ event: 'order.paid', match: { [`p${n}`]: '{{trigger.text}}' } })),
        timeout: '1 days',
      },
    ]),
  ]
}
