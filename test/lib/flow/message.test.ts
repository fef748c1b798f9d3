import t from 'tap'
import type { CompileResult } from '#lib/flow/index.ts'
import { actionReferences, compileFlow } from '#lib/flow/index.ts'
import type { MessageStep } from '#lib/flow/steps/message.ts'
import { catalogue } from './support.ts'

type Definition = Record<string, unknown>

const EMAIL = {
  id: 'mail_1',
  type: 'message',
  channel: 'email',
  to: '{{trigger.email}}',
  subject: 'Thank you',
  body: 'Hello {{trigger.name}}',
}
const SMS = { id: 'm', type: 'message', channel: 'sms', to: '+4512345678', body: 'Hello' }
const NOTICE = { id: 'm', type: 'message', channel: 'notification', subject: 'New lead', body: 'Call them' }
const CAMPAIGN = {
  ...EMAIL,
  send_with: {
    plugin_id: 'email-marketing',
    action_id: 'send_campaign',
    input: { copy: '{{steps.mail_1.output.body | upcase}}', list: 'leads' },
  },
}

function compile(steps: Definition[], trigger: Definition = { type: 'manual' }): CompileResult {
  return compileFlow({ trigger, steps }, catalogue)
}

function configOf(step: Definition): MessageStep['config'] {
  const { flow, problems } = compile([step])
  const compiled = flow?.steps[String(step['id'])]
  if (problems.length > 0 || compiled?.type !== 'message') throw new Error(JSON.stringify(problems))
  return compiled.config
}

t.test('an email is sent by the platform, its parts in the fields of send_email', (t) => {
  t.same(configOf(EMAIL), {
    channel: 'email',
    to: '{{trigger.email}}',
    subject: 'Thank you',
    body: 'Hello {{trigger.name}}',
    ai: null,
    send_with: {
      action_type: 'send_email',
      plugin_id: 'platform',
      input: {
        to: '{{steps.mail_1.output.to}}',
        subject: '{{steps.mail_1.output.subject}}',
        body: '{{steps.mail_1.output.body}}',
      },
    },
  })
  t.end()
})

t.test('a text message and a notification are sent by the actions of their channels', (t) => {
  t.match(configOf(SMS).send_with, {
    action_type: 'send_sms',
    input: { to: '{{steps.m.output.to}}', message: '{{steps.m.output.body}}' },
  })
  const notice = { title: '{{steps.m.output.subject}}', message: '{{steps.m.output.body}}' }
  t.same(configOf(NOTICE).send_with.input, notice)
  t.same(configOf({ ...NOTICE, to: '{{trigger.owner}}' }).send_with.input, {
    user_id: '{{steps.m.output.to}}',
    ...notice,
  })
  t.end()
})

t.test('an AI step keeps its prompt, with the defaults written out', (t) => {
  t.same(configOf({ ...EMAIL, ai: { prompt: 'Thank {{trigger.name}}' } }).ai, {
    prompt: 'Thank {{trigger.name}}',
    model: null,
    max_tokens: 400,
  })
  t.match(configOf({ ...EMAIL, ai: { prompt: 'Hi', model: 'small', max_tokens: 50 } }).ai, {
    model: 'small',
    max_tokens: 50,
  })
  t.end()
})

t.test(
  'a plugin’s action gets the parts it has fields for, and the input reads the finished message',
  (t) => {
    const { send_with } = configOf(CAMPAIGN)
    t.same(send_with, {
      action_type: 'send_campaign',
      plugin_id: 'email-marketing-id',
      input: {
        recipient: '{{steps.mail_1.output.to}}',
        copy: '{{steps.mail_1.output.body | upcase}}',
        list: 'leads',
      },
    })
    const { send_with: undeclared } = configOf({
      ...EMAIL,
      send_with: { plugin_id: 'email-marketing', action_id: 'send_welcome_email' },
    })
    t.same(Object.keys(undeclared.input), ['to', 'subject', 'body'], 'that declares nothing gets all')
    const { send_with: own } = configOf({
      ...EMAIL,
      send_with: { action_type: 'send_email', plugin_id: 'platform', input: { body: 'as written here' } },
    })
    t.equal(own.input['body'], 'as written here', 'what the input gives wins')
    t.end()
  },
)

t.test('a message has the ports and the retries of an action', (t) => {
  const { flow } = compile([{ ...EMAIL, retry: { max_retries: 1 } }, SMS])
  t.same(flow?.steps['mail_1']?.next, { success: 'm' })
  t.equal(flow?.steps['mail_1']?.retry?.max_retries, 1)
  t.equal(flow?.steps['mail_1']?.timeout_ms, 30_000)
  t.end()
})

t.test('later steps know what a message gives', (t) => {
  const reading = (path: string): string[] =>
    compile([
      EMAIL,
      { id: 'z', type: 'action', action_type: 'anything', input: { x: `{{steps.mail_1.output.${path}}}` } },
    ]).problems.map(({ code, message }) => `${code} ${message}`)
  t.same(reading('message_id'), [])
  t.same(reading('result.id'), [])
  t.match(reading('fallback_raeson'), [/unknown_path .*"fallback_reason"/])
  t.end()
})

t.test('the actions that messages need are looked up with the others', (t) => {
  t.same(actionReferences({ trigger: { type: 'manual' }, steps: [EMAIL, SMS, { ...CAMPAIGN, id: 'c' }] }), [
    { actionType: 'send_email', pluginRef: 'platform' },
    { actionType: 'send_sms', pluginRef: 'platform' },
    { actionType: 'send_campaign', pluginRef: 'email-marketing' },
  ])
  t.same(actionReferences({ trigger: { type: 'manual' }, steps: [{ id: 'm', type: 'message' }] }), [])
  t.end()
})

t.test('a message that causes the flow’s own trigger is warned of', (t) => {
  const { problems } = compile([CAMPAIGN], { type: 'event', event_types: ['customer.updated'] })
  t.match(problems, [{ code: 'self_trigger', severity: 'warning', step_id: 'mail_1' }])
  t.end()
})

const without = (step: Definition, name: string): Definition =>
  Object.fromEntries(Object.entries(step).filter(([each]) => each !== name))
const sentWith = (sendWith: unknown, rest: Definition = {}): Definition => ({
  ...EMAIL,
  ...rest,
  send_with: sendWith,
})

/** Each with its one problem: code, pointer and a part of the message. */
const CASES: readonly (readonly [
  name: string,
  step: Definition,
  code: string,
  pointer: string,
  message: RegExp,
])[] = [
  ['no channel', without(EMAIL, 'channel'), 'missing_property', '', /email, sms, notification/],
  ['an unknown channel', { ...EMAIL, channel: 'emial' }, 'invalid_value', '/channel', /mean "email"/],
  ['nobody to send to', without(EMAIL, 'to'), 'missing_property', '', /"to"/],
  ['an empty recipient', { ...SMS, to: ' ' }, 'missing_property', '/to', /"to"/],
  ['no text', without(EMAIL, 'body'), 'missing_property', '', /"body"/],
  ['an empty text', { ...EMAIL, body: '' }, 'missing_property', '/body', /"body"/],
  ['an email without a subject', without(EMAIL, 'subject'), 'missing_field', '', /Add "subject"/],
  ['a notification without one', without(NOTICE, 'subject'), 'missing_field', '', /Add "subject".*"title"/],
  ['a subject on sms', { ...SMS, subject: 'Hi' }, 'invalid_value', '/subject', /Remove "subject"/],
  ['a prompt that is none', { ...EMAIL, ai: 'Thank them' }, 'malformed', '/ai', /prompt/],
  ['an empty prompt', { ...EMAIL, ai: { prompt: ' ' } }, 'missing_property', '/ai/prompt', /prompt/],
  ['no prompt', { ...EMAIL, ai: { model: 'm' } }, 'missing_property', '/ai', /prompt/],
  ['an empty model', { ...EMAIL, ai: { prompt: 'p', model: '' } }, 'invalid_value', '/ai/model', /model/],
  [
    'too many tokens',
    { ...EMAIL, ai: { prompt: 'p', max_tokens: 100_000 } },
    'invalid_value',
    '/ai/max_tokens',
    /1 to 4000/,
  ],
  [
    'a property of ai without meaning',
    { ...EMAIL, ai: { prompt: 'p', temp: 1 } },
    'unknown_property',
    '/ai/temp',
    /temp/,
  ],
  [
    'a template that cannot be read',
    { ...EMAIL, body: 'Hi {{trigger.name' },
    'template_syntax',
    '/body',
    /./,
  ],
  [
    'a prompt that reads what is not there',
    { ...EMAIL, ai: { prompt: '{{steps.nobody.output}}' } },
    'unknown_step',
    '/ai/prompt',
    /nobody/,
  ],
  [
    'a text that reads itself',
    { ...EMAIL, body: '{{steps.mail_1.output.subject}}' },
    'step_not_before',
    '/body',
    /own result/,
  ],
  ['a send_with that is none', sentWith('send_email'), 'malformed', '/send_with', /action_id/],
  [
    'a send_with without an action',
    sentWith({ plugin_id: 'platform' }),
    'missing_property',
    '/send_with',
    /action_id/,
  ],
  [
    'an unknown action',
    sentWith({ plugin_id: 'platform', action_id: 'send_fax' }),
    'unknown_action',
    '/send_with/action_id',
    /anything/,
  ],
  [
    'an unknown plugin',
    sentWith({ plugin_id: 'nobody', action_id: 'send_fax' }),
    'unknown_plugin',
    '/send_with/plugin_id',
    /plugin/,
  ],
  [
    'a required field that nothing covers',
    sentWith({ ...CAMPAIGN.send_with, input: { copy: CAMPAIGN.send_with.input.copy } }),
    'missing_field',
    '',
    /"list" to the "input"/,
  ],
  [
    'an action that gets nothing of the text',
    sentWith({ ...CAMPAIGN.send_with, input: { copy: 'x', list: 'y' } }),
    'missing_field',
    '/send_with/input',
    /\{\{steps\.mail_1\.output\.body\}\}/,
  ],
  [
    'an action that gets no recipient',
    sentWith({
      plugin_id: 'platform',
      action_id: 'create_task',
      input: { title: 'a', due_date: '{{steps.mail_1.output.body}}' },
    }),
    'unknown_field',
    '/to',
    /"to"/,
  ],
  [
    'an input of the wrong type',
    sentWith({ plugin_id: 'platform', action_id: 'send_email', input: { priority: 'high' } }),
    'wrong_type',
    '/send_with/input/priority',
    /./,
  ],
]

for (const [name, step, code, pointer, message] of CASES) {
  t.test(`${name}: ${code}`, (t) => {
    const { problems } = compile([step])
    t.match(problems, [{ code, pointer: `/steps/0${pointer}`, message }])
    t.equal(problems.length, 1, JSON.stringify(problems))
    t.end()
  })
}

t.test('a format goes where the action that sends has a field for it', (t) => {
  const html = configOf({ ...EMAIL, format: 'html' })
  t.equal(html.format, 'html')
  t.match(html.send_with.input, { html: '{{steps.mail_1.output.body}}', body: undefined })
  const text = configOf({ ...EMAIL, format: 'text' })
  t.match(text.send_with.input, { text: '{{steps.mail_1.output.body}}', body: undefined })
  t.equal(configOf({ ...SMS, format: 'text' }).send_with.input['message'], '{{steps.m.output.body}}')
  t.match(compile([{ ...EMAIL, format: 'markdown' }]).problems, [
    { code: 'invalid_value', pointer: '/steps/0/format' },
  ])
  t.end()
})

t.test('what a test finds to be there needs no default behind it', (t) => {
  const steps = (body: string): Definition[] => [
    { id: 'c', type: 'condition', field: 'a', operator: 'exists', on_false: 'mail_1' },
    { id: 'y', type: 'action', action_type: 'create_task', input: { title: 'x' } },
    { ...EMAIL, body },
  ]
  t.same(compile(steps('{% if steps.y.output.id %}{{steps.y.output.id}}{% endif %}')).problems, [])
  t.match(compile(steps('{% if trigger.a %}{{steps.y.output.id}}{% endif %}')).problems, [
    { code: 'step_not_before' },
  ])
  t.end()
})
