/** As the platform's simple automations send it. */
export const LINEAR = {
  name: 'Welcome New Customer',
  trigger_event: 'customer.created',
  flow_definition: {
    steps: [
      { id: 'condition_1', type: 'condition', field: 'email', operator: 'exists' },
      {
        id: 'action_1',
        type: 'action',
        action_type: 'send_email',
        payload_template: {
          to: '{{trigger.email}}',
          subject: 'Welcome {{trigger.name}}!',
          template: 'welcome_email',
        },
      },
      {
        id: 'action_2',
        type: 'action',
        action_type: 'create_task',
        payload_template: { title: 'Follow up with {{trigger.name}}', due_date: '{{now + 3 days}}' },
      },
    ],
  },
}

/** As the visual builder sends it. */
export const GRAPH = {
  name: 'Welcome New Customers',
  status: 'active',
  trigger: { type: 'event', event_types: ['customer.created'], plugin_id: 'platform' },
  steps: [
    {
      id: 'condition_1',
      type: 'condition',
      condition: { field: 'location.country', operator: 'equals', value: 'US' },
      on_true: 'action_1',
      on_false: 'end',
    },
    {
      id: 'action_1',
      type: 'action',
      plugin_id: 'email-marketing',
      action_id: 'send_welcome_email',
      config: {
        template: 'welcome_template',
        variables: { customer_name: '{{trigger.customer_name}}' },
      },
      on_success: 'end',
      on_error: 'error_handler_1',
    },
  ],
  error_handlers: [
    { id: 'error_handler_1', type: 'action', plugin_id: 'logging-plugin', action_id: 'log_error' },
  ],
  variables: {},
  settings: { timeout: 30000, retry_count: 3, retry_delay: 1000 },
}
