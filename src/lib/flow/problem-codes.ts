export type Severity = 'error' | 'warning'
export type FlowProblemCode = keyof typeof FLOW_PROBLEMS

interface FlowProblemDefinition {
  readonly family:
    'structure' | 'triggers' | 'actions' | 'templates' | 'conditions' | 'timing' | 'handlers' | 'settings'
  readonly severity: Severity
  readonly title: string
}

/** Every code that a compiled definition can get, for docs and builders. Codes are a contract, titles are not. */
export const FLOW_PROBLEMS = {
  malformed: define('structure', 'error', 'A part of the definition has the wrong shape'),
  too_large: define('structure', 'error', 'A part of the definition is too large'),
  too_many_problems: define('structure', 'error', 'More problems than are listed'),
  unknown_property: define('structure', 'warning', 'A property has no meaning here'),
  no_trigger: define('structure', 'error', 'Nothing starts the flow'),
  no_steps: define('structure', 'error', 'The flow has no steps'),
  too_many_steps: define('structure', 'error', 'The flow has more than 500 steps'),
  invalid_id: define('structure', 'error', 'An id is missing or malformed'),
  duplicate_id: define('structure', 'error', 'Two steps have the same id'),
  unknown_step_type: define('structure', 'error', 'There is no such type of step'),
  unknown_port: define('structure', 'error', 'The step has no such port'),
  unknown_target: define('structure', 'error', 'A port leads to a step that does not exist'),
  missing_property: define('structure', 'error', 'A step lacks what it needs'),
  invalid_value: define('structure', 'error', 'A value is not one that is allowed here'),
  unreachable_step: define('structure', 'warning', 'No path leads to the step'),
  no_action: define('structure', 'warning', 'No path of the flow does anything'),
  cycle: define('structure', 'error', 'Steps lead back to themselves'),
  loop_nested: define('structure', 'error', 'A loop stands in the body of another'),
  loop_entered: define('structure', 'error', 'A step belongs to a loop and to something else'),

  unknown_trigger_type: define('triggers', 'error', 'There is no such type of trigger'),
  invalid_event_type: define('triggers', 'error', 'The name is not one of an event type'),
  unknown_event_type: define(
    'triggers',
    'warning',
    'Nobody has declared such an event type, and none has come; an error in a strict shop',
  ),
  invalid_cron: define('triggers', 'error', 'The schedule is not a cron expression, or never comes due'),
  schedule_too_frequent: define('triggers', 'error', 'The schedule comes due more than once a minute'),
  schedule_days_either: define(
    'triggers',
    'warning',
    'The schedule names days of the month and of the week, and comes due on either',
  ),
  invalid_timezone: define('triggers', 'error', 'There is no such time zone'),
  invalid_schema: define('triggers', 'error', 'The schema is outside of the safe subset'),
  self_trigger: define('triggers', 'warning', 'An action of the flow causes the event that starts it'),

  unknown_plugin: define('actions', 'error', 'The tenant has no such plugin'),
  plugin_inactive: define('actions', 'error', 'The plugin is not active'),
  unknown_action: define('actions', 'error', 'There is no such action'),
  platform_not_configured: define(
    'actions',
    'warning',
    'The action is the platform’s, and the service has not been told where that is',
  ),
  missing_field: define('actions', 'error', 'The action needs a field that is not given'),
  field_from_trigger: define('actions', 'warning', 'A needed field is taken from what starts the flow'),
  unknown_field: define('actions', 'warning', 'The action has no such field'),
  wrong_type: define('actions', 'error', 'A value is not what the action takes'),
  invalid_url: define('actions', 'error', 'The URL is not one that may be called'),
  unknown_connection: define('actions', 'error', 'The shop has no such connection'),
  connection_kind: define('actions', 'error', 'The connection is not of the kind that is needed here'),
  connection_host: define('actions', 'error', 'The connection may not be used for that host'),
  secret_in_text: define('actions', 'warning', 'A value looks like a key, which belongs into a connection'),
  invalid_header: define('actions', 'error', 'A header has a name or value that cannot be sent'),

  template_syntax: define('templates', 'error', 'A template cannot be read'),
  template_too_large: define('templates', 'error', 'A template is too large'),
  unknown_root: define('templates', 'error', 'A path starts from something that does not exist here'),
  unknown_filter: define('templates', 'error', 'There is no such filter'),
  invalid_filter_argument: define('templates', 'error', 'A filter gets an argument that it cannot take'),
  invalid_filter_input: define('templates', 'error', 'A filter gets a value that it cannot take'),
  unknown_step: define('templates', 'error', 'A path names a step that does not exist'),
  step_not_before: define(
    'templates',
    'error',
    'A path names a step that has not run on every path to this one',
  ),
  unknown_variable: define('templates', 'error', 'A path names a variable that is never set'),
  variable_not_set: define('templates', 'error', 'A path names a variable that is not set on every path'),
  item_outside_loop: define('templates', 'error', '"item" is used outside of a loop'),
  unknown_path: define('templates', 'warning', 'A path is not in the declared schema'),

  condition_malformed: define('conditions', 'error', 'A condition has the wrong shape'),
  condition_too_deep: define('conditions', 'error', 'Conditions are nested too deep'),
  condition_too_large: define('conditions', 'error', 'A condition has too many tests'),
  condition_empty: define('conditions', 'error', 'A group has no conditions'),
  unknown_operator: define('conditions', 'error', 'There is no such operator'),
  operator_unavailable: define('conditions', 'error', 'The operator is not available'),
  operator_does_not_fit: define('conditions', 'error', 'The operator does not fit the type of the field'),
  invalid_path: define('conditions', 'error', 'A field is not a path'),
  missing_operand: define('conditions', 'error', 'The operator needs a value'),
  extra_operand: define('conditions', 'error', 'The operator takes no value'),
  invalid_operand: define('conditions', 'error', 'The value does not fit the operator'),
  unsafe_pattern: define('conditions', 'error', 'The pattern is not a safe regular expression'),
  always_true: define('conditions', 'warning', 'A condition is always true'),
  always_false: define('conditions', 'warning', 'A condition is always false'),

  invalid_duration: define('timing', 'error', 'The text is not a duration'),
  duration_not_positive: define('timing', 'error', 'The duration is not positive'),
  duration_too_long: define('timing', 'error', 'The duration is over 366 days'),
  invalid_time: define('timing', 'error', 'The text is not a time'),
  wait_without_timeout: define('timing', 'error', 'A wait has no timeout'),
  wait_without_match: define('timing', 'warning', 'A wait takes any event of its type'),

  unknown_handler: define('handlers', 'error', 'An error port leads to a handler that does not exist'),
  unused_handler: define('handlers', 'warning', 'Nothing leads to the handler'),
  handler_cycle: define('handlers', 'error', 'Handlers lead back to themselves'),
  handler_target: define('handlers', 'error', 'A handler leads back into the flow'),
  handler_type: define('handlers', 'error', 'A step of this type cannot be a handler'),

  enrolment_without_key: define('settings', 'error', 'A rule for enrolment needs a key'),
} as const satisfies Record<string, FlowProblemDefinition>

export function flowProblemDefinition(code: FlowProblemCode): FlowProblemDefinition {
  return FLOW_PROBLEMS[code]
}

/** The catalogue of codes, for docs. */
export function describeFlowProblems(): (FlowProblemDefinition & { code: FlowProblemCode })[] {
  const codes = Object.keys(FLOW_PROBLEMS) as FlowProblemCode[]
  return codes.map((code) => ({ code, ...FLOW_PROBLEMS[code] }))
}

function define(
  family: FlowProblemDefinition['family'],
  severity: Severity,
  title: string,
): FlowProblemDefinition {
  return { family, severity, title }
}
