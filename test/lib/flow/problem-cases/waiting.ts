import { type Case, delay, wait } from './definitions.ts'

export const WAITING_CASES: readonly Case[] = [
  [
    'text that is no duration',
    delay({ duration: '3 months' }),
    'invalid_duration',
    '/steps/0/duration',
    /vary/,
  ],
  [
    'a duration of nothing',
    delay({ duration: '0 days' }),
    'duration_not_positive',
    '/steps/0/duration',
    /more than 0/,
  ],
  [
    'a negative duration',
    delay({ duration: '-1 day' }),
    'duration_not_positive',
    '/steps/0/duration',
    /more than 0/,
  ],
  [
    'a duration over a year',
    delay({ duration: '367 days' }),
    'duration_too_long',
    '/steps/0/duration',
    /366/,
  ],
  ['text that is no time', delay({ until: 'tomorrow' }), 'invalid_time', '/steps/0/until', /starts_at/],
  [
    'a wait without timeout',
    wait({ match: 'trigger.order_id' }),
    'wait_without_timeout',
    '/steps/0',
    /7 days/,
  ],
  ['a wait for anything', wait({ timeout: '1 day' }), 'wait_without_match', '/steps/0', /match/],
]
