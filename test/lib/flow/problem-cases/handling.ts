import { act, type Case, flow } from './definitions.ts'

export const HANDLING_CASES: readonly Case[] = [
  [
    'an unknown handler',
    flow([act('a', { on_error: 'lgo' })], { error_handlers: [act('log')] }),
    'unknown_handler',
    '/steps/0/on_error',
    /mean "log"/,
  ],
  [
    'an unused handler',
    flow([act('a')], { error_handlers: [act('x', { on_success: 'end' }), act('y')] }),
    'unused_handler',
    '/error_handlers/1',
    /on_error/,
  ],
  [
    'handlers in a circle',
    flow([act('a')], { error_handlers: [act('x'), act('y', { on_success: 'x' })] }),
    'handler_cycle',
    '/error_handlers/1/on_success',
    /x → y → x/,
  ],
  [
    'a handler that leads back',
    flow([act('a'), act('b')], { error_handlers: [act('x', { on_success: 'b' })] }),
    'handler_target',
    '/error_handlers/0/on_success',
    /"steps"/,
  ],
  [
    'a handler that loops',
    flow([act('a')], { error_handlers: [{ id: 'f', type: 'for_each', list: ['x'], body: 'y' }, act('y')] }),
    'handler_type',
    '/error_handlers/0/type',
    /loop/,
  ],
  [
    'a rule without a key',
    flow([act('a')], { settings: { enrolment: { while_active: 'restart' } } }),
    'enrolment_without_key',
    '/settings/enrolment/while_active',
    /key/,
  ],
]
