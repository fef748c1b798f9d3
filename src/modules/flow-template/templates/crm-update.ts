import { text } from '../parameter.ts'
import { defineTemplate, idOf, onEvent, type Step } from '../template.ts'

const NAME = `{{trigger.name | default: ${idOf('lead')}}}`

export const crmUpdate = defineTemplate({
  id: 'crm_update',
  title: 'Keep the CRM up to date',
  description:
    'When the status of a lead changes, the team is told. Who is won becomes a customer, or, where that cannot be ' +
    'done by itself, a task for somebody.',
  category: 'leads',
  parameters: {
    won_status: text('Status of who is won', 'The status of a lead that is to become a customer.', 'won'),
    assignee: text('Assignee', 'Whose task it is to add customers by hand, by id. Empty: nobody yet.', ''),
  },
  build: ({ won_status, assignee }) => ({
    triggers: [onEvent('lead.status_changed')],
    variables: { won_status, assignee },
    steps: [
      {
        id: 'won',
        type: 'condition',
        condition: { field: 'status', operator: 'equals', value: '{{variables.won_status}}' },
        on_true: 'has_email',
        on_false: 'tell_team',
      },
      {
        id: 'has_email',
        type: 'condition',
        condition: { field: 'email', operator: 'is_not_empty' },
        on_true: 'has_phone',
        on_false: 'by_hand',
      },
      {
        id: 'has_phone',
        type: 'condition',
        condition: { field: 'phone', operator: 'is_not_empty' },
        on_true: 'add_with_phone',
        on_false: 'add',
      },
      addCustomer('add_with_phone', { phone: '{{trigger.phone}}' }),
      addCustomer('add', {}),
      {
        id: 'by_hand',
        type: 'action',
        plugin_id: 'platform',
        action_type: 'create_task',
        input: {
          title: `Add ${NAME} as a customer`,
          description:
            'This lead was won and could not be added by itself: it has no email address, or is a customer already.',
          ...(assignee !== '' && { assignee: '{{variables.assignee}}' }),
        },
        on_success: 'tell_team',
      },
      {
        id: 'tell_team',
        type: 'message',
        channel: 'notification',
        subject: `Lead ${NAME}: {{trigger.status}}`,
        body: `${NAME} went from {{trigger.previous_status | default: "an unknown status"}} to {{trigger.status}}.`,
        on_success: 'end',
      },
    ],
  }),
})

function addCustomer(id: string, more: Record<string, string>): Step {
  return {
    id,
    type: 'action',
    plugin_id: 'platform',
    action_type: 'create_customer',
    input: {
      email: '{{trigger.email}}',
      name: '{{trigger.name | default: trigger.email}}',
      tags: ['lead'],
      ...more,
    },
    on_success: 'tell_team',
    on_error: 'by_hand',
  }
}
