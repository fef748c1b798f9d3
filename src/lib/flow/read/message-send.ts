import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { TemplateNode } from '#lib/template/index.ts'
import { templateReferences } from '#lib/template/index.ts'
import type { CatalogueAction } from '../catalogue.ts'
import { checkPayload } from './payload-types.ts'
import { PLATFORM } from '../resolve-action.ts'
import type { Reader } from './reader.ts'
import { at, createReader, finish, has, report, STEP_PLACE, take } from './reader.ts'
import { readTree } from './template.ts'
import { checkByHint, resolveNamed } from './named-action.ts'
import type { ActionConfig, MessageChannel, MessageFormat } from '../elements.ts'
import { MESSAGE_CHANNELS, MESSAGE_FORMATS } from '../elements.ts'
import type { NamedAction } from '../steps/definition.ts'
import { holdsTemplate } from '#lib/template-text.ts'

type Part = 'to' | 'subject' | 'body'
/** As written; null: left out. */
export type Parts = Record<Part, string | null>

/** The action that sends a channel's messages when the step does not say otherwise. */
const PLATFORM_ACTION: Readonly<Record<MessageChannel, string>> = {
  email: 'send_email',
  sms: 'send_sms',
  notification: 'create_notification',
}
/** The fields in which an action that sends may take a message's parts; the first one that it has gets the part. */
const FIELDS_OF_PART: Readonly<Record<Part, readonly string[]>> = {
  to: ['to', 'recipient'],
  subject: ['subject', 'title'],
  body: ['body', 'text', 'message', 'content'],
}
const RECIPIENT_FIELD: Readonly<Record<MessageChannel, string>> = {
  email: 'email',
  sms: 'phone',
  notification: 'user_id',
}
const PARTS = ['to', 'subject', 'body'] as const
/** Also what a builder offers after a message: `steps.<id>.output`. */
const MESSAGE_OUTPUT: Record<string, SafeSchema> = {
  message_id: { type: 'string' },
  channel: { type: 'string', enum: [...MESSAGE_CHANNELS] },
  to: { type: ['string', 'null'] },
  subject: { type: ['string', 'null'] },
  body: { type: 'string' },
  format: { type: 'string', enum: [...MESSAGE_FORMATS] },
  source: { type: 'string', enum: ['template', 'ai'] },
  model: { type: ['string', 'null'] },
  fallback_reason: { type: ['string', 'null'] },
  fallback_detail: { type: ['string', 'null'] },
  error: { type: 'object' },
}

/** Finds the action that a message step sends by, as it is looked up: `send_with`, else the platform's for the channel. */
export function messageAction(members: Record<string, unknown>): NamedAction | null {
  const sendWith = members['send_with'] ?? null
  if (isPlainObject(sendWith)) {
    const actionType = sendWith['action_id'] ?? sendWith['action_type']
    return { actionType, pluginRef: sendWith['plugin_id'] ?? null, fields: null }
  }
  const channel = MESSAGE_CHANNELS.find((each) => each === members['channel'])
  return channel === undefined
    ? null
    : { actionType: PLATFORM_ACTION[channel], pluginRef: PLATFORM, fields: null }
}

/** `send_with` as sent, or as if it named the platform's action. */
export interface SendWith {
  reader: Reader
  /** Null: the step does not say; the channel decides. */
  members: Record<string, unknown> | null
  input: Record<string, unknown>
  tree: TemplateNode
}

export function readSendWith(reader: Reader): SendWith | null {
  const sent = take(reader, 'send_with')
  const path = at(reader, 'send_with')
  const place = { ...STEP_PLACE, ownOutput: true }
  if (sent !== undefined && !isPlainObject(sent)) {
    const message = 'Write it as "send_with": { "plugin_id": "…", "action_id": "…", "input": { … } }.'
    report(reader, 'malformed', path, message)
    return null
  }
  const inner = createReader(reader.compilation, sent ?? {}, path, reader.stepId, place)
  const given = take(inner, 'input') ?? {}
  const input = isPlainObject(given) ? given : {}
  if (!isPlainObject(given)) report(inner, 'malformed', at(inner, 'input'), 'Give "input" an object.')
  const tree = readTree(inner, input, at(inner, 'input'))
  return { reader: inner, members: sent ?? null, input, tree }
}

/** Finds the action that sends; null when there is none by its name, which is reported. */
export function resolveSender(
  step: Reader,
  { reader, members }: SendWith,
  channel: MessageChannel,
): CatalogueAction | null {
  const name = has(reader, 'action_type') ? 'action_type' : 'action_id'
  const actionType = members === null ? PLATFORM_ACTION[channel] : take(reader, name)
  const pluginRef = members === null ? PLATFORM : take(reader, 'plugin_id')
  finish(reader)
  const hint = 'Add "action_id", the action that sends the message.'
  const action = resolveNamed(reader, { name, actionType, pluginRef }, hint)
  if (action === null) return null
  if (step.stepId !== null) {
    const properties = { ...MESSAGE_OUTPUT, result: action.output_schema ?? {} }
    step.compilation.schemas.steps.set(step.stepId, { type: 'object', properties })
  }
  return action
}

/** Fills in the action's input: the message's parts in the fields that it has for them, and `input` over them. */
export function sendConfig(
  step: Reader,
  { reader, input, tree }: SendWith,
  action: CatalogueAction,
  { channel, format }: { channel: MessageChannel; format: MessageFormat | null },
  parts: Parts,
): ActionConfig {
  const known = fieldsOf(action)
  const filled: Record<string, string> = {}
  for (const part of PARTS) {
    const names = fieldsFor(part, channel, format)
    if (isBlank(parts[part]) || names.some((name) => Object.hasOwn(input, name))) continue
    const field = known === null ? part : names.find((name) => known.has(name))
    if (field !== undefined) {
      filled[field] = `{{steps.${step.stepId ?? ''}.output.${part}}}`
      checkPart(step, action, field, part, parts[part])
    } else if (part !== 'subject' && !isUsed(tree, step.stepId, part))
      reportUntaken(step, reader, action, part)
  }
  checkCovered(step, action, { ...filled, ...input })
  const { input_schema: schema } = action
  if (schema) {
    reader.compilation.typeChecks.push(() => {
      const given = { ...schema, required: [] }
      if (action.plugin_id === null) checkByHint(reader, action, given, input, at(reader, 'input'))
      else checkPayload(reader, given, input, at(reader, 'input'))
    })
  }
  return {
    action_type: action.action_type,
    plugin_id: action.plugin_id ?? PLATFORM,
    input: { ...filled, ...input },
  }
}

/** An action that has a field for the format gets the body there; a field by another name may be either. */
function fieldsFor(part: Part, channel: MessageChannel, format: MessageFormat | null): readonly string[] {
  if (part === 'to') return [...FIELDS_OF_PART.to, RECIPIENT_FIELD[channel]]
  return part === 'body' && format !== null ? [format, ...FIELDS_OF_PART.body] : FIELDS_OF_PART[part]
}

/** Null: it says nothing about what it takes. */
function fieldsOf(action: CatalogueAction): ReadonlySet<string> | null {
  const properties = Object.keys(action.input_schema?.properties ?? {})
  const all = new Set([...action.required_fields, ...action.optional_fields, ...properties])
  return all.size === 0 ? null : all
}

function checkPart(
  step: Reader,
  action: CatalogueAction,
  field: string,
  part: Part,
  text: string | null,
): void {
  const { properties } = action.input_schema ?? {}
  const schema = properties && Object.hasOwn(properties, field) ? properties[field] : undefined
  if (!schema) return
  step.compilation.typeChecks.push(() => {
    // A rendered template is sent as text.
    if (text === null || holdsTemplate(text)) return
    checkPayload(step, schema, text, at(step, part), action.plugin_id === null ? 'hint' : 'holds')
  })
}

function isUsed(tree: TemplateNode, stepId: string | null, part: Part): boolean {
  return templateReferences(tree).some(({ operand: { root, path } }) => {
    return root === 'steps' && path[0] === stepId && (path.length < 3 || path[2] === part)
  })
}

function reportUntaken(step: Reader, reader: Reader, action: CatalogueAction, part: 'to' | 'body'): void {
  const fix = `give one of its fields in "input" the text {{steps.${step.stepId ?? ''}.output.${part}}}.`
  const message = `${action.action_type} has no field for the message's "${part}": ${fix}`
  if (part === 'body') report(reader, 'missing_field', at(reader, 'input'), message)
  else report(reader, 'unknown_field', at(step, 'to'), message)
}

function checkCovered(step: Reader, action: CatalogueAction, given: Record<string, unknown>): void {
  const required = new Set([...action.required_fields, ...(action.input_schema?.required ?? [])])
  for (const name of required) {
    if (given[name] !== undefined && given[name] !== null && given[name] !== '') continue
    const part = PARTS.find((each) => FIELDS_OF_PART[each].includes(name))
    const fix = part === undefined ? `Add "${name}" to the "input" of "send_with"` : `Add "${part}"`
    const needs = `${action.action_type} needs ${part === name ? 'it' : `"${name}"`}`
    const isHint = action.plugin_id === null && !action.required_fields.includes(name)
    report(step, 'missing_field', step.path, `${fix}: ${needs}.`, isHint ? 'warning' : undefined)
  }
}

export function isBlank(text: string | null): boolean {
  return text === null || text.trim() === ''
}
