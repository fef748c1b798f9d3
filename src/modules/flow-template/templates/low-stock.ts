import { choice, integer, templateLine, text } from '../parameter.ts'
import { defineTemplate, idOf, onEvent } from '../template.ts'

export const lowStock = defineTemplate({
  id: 'low_stock_task',
  title: 'Reorder what runs low',
  description:
    "Makes a task when a product's stock falls to its threshold, one for each product and few days.",
  category: 'inventory',
  parameters: {
    title: templateLine(
      'Title',
      'What the task is called.',
      `Reorder {{trigger.name | default: trigger.sku | default: ${idOf('product')}}}`,
    ),
    due_days: integer('Due in days', 'By when the task is to be done.', {
      default: 2,
      minimum: 1,
      maximum: 90,
    }),
    priority: choice('Priority', 'Of the task.', ['low', 'normal', 'high'], 'high'),
    assignee: text('Assignee', 'Whose task it is, by id. Empty: nobody yet.', ''),
    quiet_days: integer('Quiet days', 'How long there is no other task for the same product.', {
      default: 3,
      minimum: 1,
      maximum: 90,
    }),
  },
  build: (values) => ({
    triggers: [onEvent('inventory.low')],
    variables: { assignee: values.assignee },
    steps: [
      {
        id: 'reorder',
        type: 'action',
        plugin_id: 'platform',
        action_type: 'create_task',
        input: {
          title: values.title,
          description: 'In stock: {{trigger.available}}. Product: {{trigger.product_id}}.',
          due_date: `{{now + ${values.due_days} days}}`,
          priority: values.priority,
          ...(values.assignee !== '' && { assignee: '{{variables.assignee}}' }),
        },
      },
    ],
    settings: {
      enrolment: { key: `{{${idOf('product')}}}`, reenter_after: `${values.quiet_days} days` },
    },
  }),
})
