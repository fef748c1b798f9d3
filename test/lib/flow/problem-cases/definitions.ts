/** A member of a definition, or all of it. */
type Definition = Record<string, unknown>

/** A definition with its one problem: its code, its pointer and a part of its message. */
export type Case = readonly [
  name: string,
  definition: unknown,
  code: string,
  pointer: string,
  message: RegExp,
]

export const act = (id: string, rest: Definition = {}): Definition => ({
  id,
  type: 'action',
  action_type: 'anything',
  ...rest,
})
export const flow = (steps: unknown[], rest: Definition = {}): Definition => ({
  trigger: { type: 'manual' },
  steps,
  ...rest,
})
/** A flow whose trigger declares what it gives. */
export const declared = (steps: unknown[]): Definition =>
  flow(steps, { trigger: { type: 'event', event_types: ['customer.updated'] } })
export const reads = (path: string): Definition => act('a', { input: { x: `{{${path}}}` } })
export const tests = (condition: Definition): Definition[] => [
  { id: 'c', type: 'condition', condition },
  act('a'),
]
export const on = (trigger: Definition): Definition => ({ trigger, steps: [act('a')] })
export const delay = (rest: Definition): Definition => flow([{ id: 'd', type: 'delay', ...rest }, act('a')])
export const wait = (rest: Definition): Definition =>
  flow([{ id: 'w', type: 'wait_event', event: 'order.paid', on_received: 'a', ...rest }, act('a')])
export const mail = (input: Definition): Definition => ({
  id: 'm',
  type: 'action',
  action_type: 'send_email',
  input: { to: 'a@example.com', subject: 'Hi', text: 'Hi', ...input },
})
export const http = (rest: Definition): Definition =>
  flow([{ id: 'h', type: 'http', url: 'https://example.com', ...rest }])
