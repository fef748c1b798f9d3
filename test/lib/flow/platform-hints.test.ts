import t from 'tap'
import { type CatalogueAction, compileFlow } from '#lib/flow/index.ts'
import { platformAction } from '#modules/registry/platform-actions.ts'
import { catalogue } from './support.ts'

/** With the platform's own actions in place of the test's. */
const real: typeof catalogue = {
  ...catalogue,
  resolveAction: (actionType, pluginRef) => {
    const action = platformAction(actionType)
    if (action === undefined) return catalogue.resolveAction(actionType, pluginRef)
    return { action: { ...action, emits: [] } satisfies CatalogueAction }
  },
}

function compile(step: object) {
  return compileFlow(
    {
      trigger: { type: 'event', event_types: ['customer.updated'] },
      steps: [{ id: 'a', type: 'action', ...step }],
    },
    real,
  )
}

t.test('what the documents print is compiled without a word', (t) => {
  const printed: [string, object][] = [
    ['create_product', { name: 'New Product', price: 29.99, description: 'Auto-created product' }],
    ['send_notification', { message: 'Product created successfully', channel: 'slack' }],
    ['create_customer', { email: 'new@customer.com' }],
    ['send_email', { to: '{{trigger.email}}', subject: 'Welcome!', template: 'welcome_email' }],
    ['create_task', { title: 'Follow up', due_date: '{{now + 3 days}}' }],
  ]
  for (const [action_type, input] of printed) {
    const { flow, problems } = compile({ action_type, input })
    t.strictSame(problems, [], action_type)
    t.ok(flow)
  }
  t.end()
})

t.test('a field of a platform action that lacks, is unknown or of another type is a warning', (t) => {
  const cases: [object, string, string][] = [
    [{ action_type: 'create_product', input: { name: 'Hat' } }, 'missing_field', '/steps/0/input'],
    [
      { action_type: 'create_task', input: { title: 'A', colour: 'red' } },
      'unknown_field',
      '/steps/0/input/colour',
    ],
    [{ action_type: 'create_task', input: { title: 5 } }, 'wrong_type', '/steps/0/input/title'],
    [
      { action_type: 'create_task', input: { title: '{{trigger.tags}}' } },
      'wrong_type',
      '/steps/0/input/title',
    ],
    [
      { action_type: 'create_order', input: { customer_id: 1, items: [{ product_id: 2 }] } },
      'missing_field',
      '/steps/0/input/items/0',
    ],
    [{ action_type: 'update_order_status', input: { id: 7 } }, 'missing_field', '/steps/0/input'],
    [{ type: 'message', channel: 'email', to: 'a@example.com', body: 'Hello' }, 'missing_field', '/steps/0'],
    [
      {
        type: 'message',
        channel: 'email',
        to: 'a@example.com',
        subject: 'Hi',
        body: 'Hello',
        send_with: { plugin_id: 'platform', action_id: 'send_email', input: { variables: 'none' } },
      },
      'wrong_type',
      '/steps/0/send_with/input/variables',
    ],
  ]
  for (const [step, code, pointer] of cases) {
    const { flow, problems } = compile(step)
    t.match(problems, [{ code, pointer, severity: 'warning' }], JSON.stringify(step))
    t.equal(problems.length, 1, JSON.stringify(problems))
    t.ok(flow)
  }
  t.end()
})

t.test('what the path of a platform action takes has to be there', (t) => {
  const cases: [object, string, string][] = [
    [{ name: 'Hat' }, 'missing_field', '/steps/0/input'],
    [{ id: '' }, 'missing_field', '/steps/0/input'],
    [{ id: true }, 'wrong_type', '/steps/0/input/id'],
    [{ id: '{{trigger.tags}}' }, 'wrong_type', '/steps/0/input/id'],
  ]
  for (const [input, code, pointer] of cases) {
    const { flow, problems } = compile({ action_type: 'update_product', input })
    t.match(problems, [{ code, pointer, severity: 'error' }], JSON.stringify(input))
    t.equal(problems.length, 1, JSON.stringify(problems))
    t.equal(flow, null)
  }
  t.ok(compile({ action_type: 'update_product', input: { id: '{{trigger.id}}' } }).flow)
  t.end()
})

t.test('a plugin’s needed field comes from the trigger, where that declares it and nobody gives it', (t) => {
  const greet = (input: object, trigger?: object) =>
    compileFlow(
      {
        trigger: trigger ?? { type: 'event', event_types: ['customer.updated'] },
        steps: [{ id: 'a', type: 'action', plugin_id: 'email-marketing', action_id: 'greet', config: input }],
      },
      catalogue,
    )
  const sent = { template: 'x' }
  const { flow, problems } = greet(sent)
  t.match(flow?.steps['a']?.config, { input: { template: 'x', email: '{{trigger.email}}' } })
  t.match(problems, [{ code: 'field_from_trigger', severity: 'warning' }])
  t.strictSame(sent, { template: 'x' }, 'the definition stays as it was sent')
  t.strictSame(greet({ email: '{{trigger.name}}' }).problems, [])
  for (const trigger of [
    { type: 'manual' },
    { type: 'webhook' },
    { type: 'event', event_types: ['customer.created'] },
    { type: 'event', event_types: ['customer.updated', 'order.paid'] },
  ]) {
    t.match(
      greet(sent, trigger).problems,
      [{ code: 'missing_field', severity: 'error' }],
      JSON.stringify(trigger),
    )
  }
  t.strictSame(greet({ email: null }).problems, [], 'null is what the step says, and the schema allows it')
  t.end()
})
