import { act, type Case, flow, http, mail } from './definitions.ts'

export const ACTION_CASES: readonly Case[] = [
  [
    'an unknown plugin',
    flow([act('a', { plugin_id: 'nope' })]),
    'unknown_plugin',
    '/steps/0/plugin_id',
    /no such plugin/,
  ],
  [
    'a plugin that is not active',
    flow([act('a', { plugin_id: 'sleeping' })]),
    'plugin_inactive',
    '/steps/0/plugin_id',
    /Activate/,
  ],
  [
    'an unknown action',
    flow([act('a', { action_type: 'anythin' })]),
    'unknown_action',
    '/steps/0/action_type',
    /anything/,
  ],
  [
    'a missing field',
    flow([{ id: 'm', type: 'action', action_type: 'send_email', config: { to: 'x' } }]),
    'missing_field',
    '/steps/0/config',
    /subject/,
  ],
  ['an unknown field', flow([mail({ sujet: 'x' })]), 'unknown_field', '/steps/0/input/sujet', /subject/],
  ['a wrong type', flow([mail({ priority: 'high' })]), 'wrong_type', '/steps/0/input/priority', /integer/],
  [
    'a wrong type in a list',
    flow([mail({ tags: ['a', 5] })]),
    'wrong_type',
    '/steps/0/input/tags/1',
    /string/,
  ],
  [
    'a host from a template',
    http({ url: 'https://{{trigger.host}}/x' }),
    'invalid_url',
    '/steps/0/url',
    /host/,
  ],
  [
    'a host that a template goes on with',
    http({ url: 'https://example.com{{trigger.host}}' }),
    'invalid_url',
    '/steps/0/url',
    /host/,
  ],
  [
    'credentials in a URL',
    http({ url: 'https://a:b@example.com/' }),
    'invalid_url',
    '/steps/0/url',
    /header/,
  ],
  [
    'a header that frames the request',
    http({ headers: { 'Content-Length': '5' } }),
    'invalid_header',
    '/steps/0/headers/Content-Length',
    /not a header/,
  ],
]
