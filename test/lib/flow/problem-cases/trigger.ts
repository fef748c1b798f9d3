import { act, type Case, declared, on } from './definitions.ts'

export const TRIGGER_CASES: readonly Case[] = [
  [
    'an unknown type of trigger',
    on({ type: 'event_trigger' }),
    'unknown_trigger_type',
    '/trigger/type',
    /schedule/,
  ],
  [
    'a name that is no event type',
    on({ type: 'event', event_types: ['Customer Created'] }),
    'invalid_event_type',
    '/trigger/event_types/0',
    /one event type, such as/,
  ],
  ['no event types', on({ type: 'event' }), 'invalid_event_type', '/trigger', /1 to 50/],
  [
    'an unknown event type',
    on({ type: 'event', event_types: ['customer.create'] }),
    'unknown_event_type',
    '/trigger/event_types/0',
    /mean "customer.created"/,
  ],
  ['a bad cron', on({ type: 'schedule', cron: '61 * * * *' }), 'invalid_cron', '/trigger/cron', /minute/],
  [
    'a cron that never comes due',
    on({ type: 'schedule', cron: '0 0 30 2 *' }),
    'invalid_cron',
    '/trigger/cron',
    /never/,
  ],
  [
    'a cron with seconds',
    on({ type: 'schedule', cron: '*/5 * * * * *' }),
    'schedule_too_frequent',
    '/trigger/cron',
    /once a minute/,
  ],
  [
    'a bad zone',
    on({ type: 'schedule', cron: '@daily', timezone: 'Lisbon' }),
    'invalid_timezone',
    '/trigger/timezone',
    /IANA/,
  ],
  [
    'an unsafe schema',
    on({ type: 'manual', input_schema: { type: 'string', pattern: '(a+)+' } }),
    'invalid_schema',
    '/trigger/input_schema/pattern',
    /./,
  ],
  [
    'an action that starts its own flow',
    declared([act('a', { action_type: 'update_customer' })]),
    'self_trigger',
    '/steps/0',
    /customer.updated/,
  ],
  [
    'days of the month and of the week',
    on({ type: 'schedule', cron: '0 9 1-7 * MON' }),
    'schedule_days_either',
    '/trigger/cron',
    /MON#1/,
  ],
]
