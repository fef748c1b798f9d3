import type { Members } from './graph.ts'
import { conditionText, joined, text } from './texts.ts'

/** What the editor knows of a type of step: all of it stands here, so that a further type is one further entry. */
export interface StepTypeEntry {
  label: Readonly<Record<'en' | 'de', string>>
  glyph: string
  /** Where it stands in the palette. */
  group: StepGroup
  /** The ways out, in the order in which they are drawn, but for the way into a body. */
  ports(members: Members): readonly string[]
  /** The way by which a chain goes on; null: nothing follows. */
  mainPort: string | null
  /** The ports that lead to the step below when they are left out. */
  goesOn: readonly string[]
  /** It repeats the steps of a body. */
  hasBody: boolean
  /** What a new one begins with, beside its id, type and ports. */
  fresh: Members
  /** What its form asks for, beside what all steps have; what calls others has retries, too. */
  fields: readonly StepField[]
  calls: boolean
  /** What it does, in few words of its definition. */
  summary(members: Members): string
}

type StepGroup = 'act' | 'decide' | 'wait' | 'data'

export interface StepField {
  name: string
  kind: FieldKind
  required?: true
  /** Of a choice. */
  choices?: readonly string[]
  /** What its list says of several, and these members of one alone. */
  insteadOf?: readonly string[]
}

type FieldKind =
  | 'action'
  | 'business_days'
  | 'cases'
  | 'choice'
  | 'condition'
  | 'connection'
  | 'duration'
  | 'event'
  | 'events'
  | 'json'
  | 'long_text'
  | 'match'
  | 'number'
  | 'path'
  | 'prompt'
  | 'sender'
  | 'switch'
  | 'text'
  | 'values'
  | 'weekdays'

const CALL = {
  ports: () => ['success', 'error'],
  mainPort: 'success',
  goesOn: ['success'],
  hasBody: false,
  calls: true,
} as const
const PLAIN = {
  ports: () => ['next'],
  mainPort: 'next',
  goesOn: ['next'],
  hasBody: false,
  calls: false,
} as const

/** In the order of the palette. */
export const STEP_TYPES = new Map<string, StepTypeEntry>([
  [
    'action',
    {
      ...CALL,
      label: { en: 'Action', de: 'Aktion' },
      glyph: '▶',
      group: 'act',
      fresh: { action_type: '', input: {} },
      fields: [{ name: 'action_type', kind: 'action', required: true }],
      summary: ({ action_type, action_id, plugin_id }) =>
        joined([text(action_type ?? action_id), text(plugin_id)], ' · '),
    },
  ],
  [
    'message',
    {
      ...CALL,
      label: { en: 'Message', de: 'Nachricht' },
      glyph: '✉',
      group: 'act',
      fresh: { channel: 'email', to: '', subject: '', body: '' },
      fields: [
        { name: 'channel', kind: 'choice', choices: ['email', 'sms', 'notification'], required: true },
        { name: 'to', kind: 'text' },
        { name: 'subject', kind: 'text' },
        { name: 'body', kind: 'long_text', required: true },
        { name: 'format', kind: 'choice', choices: ['text', 'html'] },
        { name: 'respect_quiet_hours', kind: 'switch' },
        { name: 'ai', kind: 'prompt' },
        { name: 'send_with', kind: 'sender' },
      ],
      summary: ({ channel, to }) => joined([text(channel), text(to)], ' → '),
    },
  ],
  [
    'http',
    {
      ...CALL,
      label: { en: 'Request', de: 'Anfrage' },
      glyph: '⇄',
      group: 'act',
      fresh: { method: 'GET', url: '' },
      fields: [
        { name: 'method', kind: 'choice', choices: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] },
        { name: 'url', kind: 'text', required: true },
        { name: 'headers', kind: 'values' },
        { name: 'body', kind: 'json' },
        { name: 'connection', kind: 'connection' },
      ],
      summary: ({ method, url, body }) =>
        `${text(method) || (body === undefined ? 'GET' : 'POST')} ${text(url)}`,
    },
  ],
  [
    'condition',
    {
      label: { en: 'Condition', de: 'Bedingung' },
      glyph: '◇',
      group: 'decide',
      ports: () => ['true', 'false'],
      mainPort: 'true',
      goesOn: ['true'],
      hasBody: false,
      calls: false,
      fresh: { condition: { field: '', operator: 'exists' } },
      fields: [{ name: 'condition', kind: 'condition', required: true }],
      summary: (members) => conditionText(members['condition'] ?? members),
    },
  ],
  [
    'switch',
    {
      label: { en: 'Switch', de: 'Verzweigung' },
      glyph: '◆',
      group: 'decide',
      ports: ({ cases }) => [...new Set([...caseNames(cases), 'default'])],
      mainPort: 'default',
      goesOn: [],
      hasBody: false,
      calls: false,
      fresh: { cases: [{ name: 'case_1', condition: { field: '', operator: 'exists' } }] },
      fields: [{ name: 'cases', kind: 'cases', required: true }],
      summary: ({ cases }) => caseNames(cases).join(', '),
    },
  ],
  [
    'for_each',
    {
      label: { en: 'For each', de: 'Für jedes' },
      glyph: '⟳',
      group: 'decide',
      ports: () => ['done'],
      mainPort: 'done',
      goesOn: ['done'],
      hasBody: true,
      calls: false,
      fresh: { list: 'trigger.items' },
      fields: [
        { name: 'list', kind: 'path', required: true },
        { name: 'max_items', kind: 'number' },
        { name: 'concurrency', kind: 'number' },
        { name: 'collect', kind: 'json' },
        { name: 'item_errors', kind: 'choice', choices: ['stop', 'continue'] },
      ],
      summary: ({ list, items }) => text(list ?? items),
    },
  ],
  [
    'stop',
    {
      label: { en: 'Stop', de: 'Ende' },
      glyph: '■',
      group: 'decide',
      ports: () => [],
      mainPort: null,
      goesOn: [],
      hasBody: false,
      calls: false,
      fresh: {},
      fields: [
        { name: 'outcome', kind: 'choice', choices: ['done', 'filtered', 'stopped', 'failed'] },
        { name: 'reason', kind: 'text' },
      ],
      summary: ({ reason, outcome }) => text(reason) || text(outcome),
    },
  ],
  [
    'delay',
    {
      ...PLAIN,
      label: { en: 'Delay', de: 'Pause' },
      glyph: '◷',
      group: 'wait',
      fresh: { duration: '1 day' },
      fields: [
        { name: 'duration', kind: 'duration' },
        { name: 'until', kind: 'text' },
        { name: 'offset', kind: 'duration' },
        { name: 'at', kind: 'text' },
        { name: 'timezone', kind: 'text' },
        { name: 'weekdays', kind: 'weekdays' },
        { name: 'business_days', kind: 'business_days' },
        { name: 'if_past', kind: 'choice', choices: ['run_now', 'skip'] },
      ],
      summary: ({ duration, until, delay_minutes: minutes, at, offset }) =>
        joined(
          [
            text(duration) || text(until) || (minutes === undefined ? '' : `${text(minutes)} min`),
            text(offset),
            text(at),
          ],
          ' ',
        ),
    },
  ],
  [
    'wait_event',
    {
      label: { en: 'Wait for an event', de: 'Auf Ereignis warten' },
      glyph: '◔',
      group: 'wait',
      ports: () => ['received', 'timeout'],
      mainPort: 'received',
      goesOn: [],
      hasBody: false,
      calls: false,
      fresh: { event: '', match: {}, timeout: '7 days' },
      fields: [
        { name: 'event', kind: 'event' },
        { name: 'match', kind: 'match' },
        { name: 'filter', kind: 'condition' },
        { name: 'any', kind: 'events', insteadOf: ['event', 'match', 'filter'] },
        { name: 'timeout', kind: 'duration', required: true },
        { name: 'look_back', kind: 'duration' },
      ],
      summary: ({ event, any, timeout }) => {
        const events = Array.isArray(any)
          ? any.map((each) => text((each as Members | null)?.['event'])).join(', ')
          : text(event)
        return joined([events, text(timeout)], ' · ')
      },
    },
  ],
  [
    'set',
    {
      ...PLAIN,
      label: { en: 'Set values', de: 'Werte setzen' },
      glyph: '≔',
      group: 'data',
      fresh: { variables: {} },
      fields: [{ name: 'variables', kind: 'values', required: true }],
      summary: ({ variables }) =>
        typeof variables === 'object' && variables !== null ? Object.keys(variables).join(', ') : '',
    },
  ],
])

export function stepType(type: string): StepTypeEntry | null {
  return STEP_TYPES.get(type) ?? null
}

function caseNames(cases: unknown): string[] {
  return (Array.isArray(cases) ? (cases as unknown[]) : []).flatMap((each) => {
    const name = (each as Members | null)?.['name']
    return typeof name === 'string' ? name : []
  })
}
