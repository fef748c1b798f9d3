/** The codes of what a step cannot do by itself, before or beside any request. */
export type StepErrorCode =
  | 'template_error'
  | 'missing_recipient'
  | 'invalid_recipient'
  | 'empty_message'
  | 'message_erased'
  | 'missing_value'
  | 'match_too_large'
  | 'not_a_list'
  | 'too_many_items'
  | 'send_window_closed'
  | 'no_such_day'
  | 'invalid_time'
  | 'invalid_timezone'
  | 'invalid_duration'
  | 'unknown_step'
  | 'stopped'

/** The codes of a call that comes to nothing, beside the error classes of its request. See docs/platform.md. */
export const CALL_ERROR_CODES = [
  'unknown_action',
  'unknown_plugin',
  'plugin_inactive',
  'secret_unreadable',
  'missing_field',
  'invalid_payload',
  'event_key_conflict',
  'causation_depth',
  'in_progress',
  'interrupted',
  'overloaded',
  'plugin_busy',
  'invalid_response',
  'breaker_open',
  'platform_not_configured',
  'completion_timeout',
  'reported_failure',
] as const
export type CallErrorCode = (typeof CALL_ERROR_CODES)[number]

/** The codes of a request that a connection gives no credentials for. */
export type ConnectionErrorCode =
  'connection_not_found' | 'connection_host_refused' | 'connection_unreadable' | 'connection_token_failed'
