import type { StepDraft } from '../drafts.ts'
import { isStepId } from '#lib/flow/ids.ts'
import type { Compilation, Reader } from '../reader.ts'
import { at, createReader, finish, readChoice, readInteger, report, take } from '../reader.ts'
import { exactText, expandPath, readTree, readValueText } from '../template.ts'
import { typesOfExpression } from '../expression-types.ts'
import { readRetry, readTimeout } from '../settings.ts'
import { readAction } from './action.ts'
import { readHttp } from './http.ts'
import { readMessage } from './message.ts'
import { readCases, readStepCondition, readStop, readVariables } from './logic.ts'
import { readDelay, readWait } from './time.ts'
import { suggest } from '#lib/flow/suggest.ts'
import type { CanonicalStep, ForEachConfig, StepType, SwitchCase } from '#lib/flow/types.ts'

/** What a step of each type may do and where it may lead. */
interface StepTypeRules {
  read: (reader: Reader) => object | null
  ports: (config: object | null) => readonly string[]
  /** The ports that go on to the following step when they are left out. */
  goesOn: readonly string[]
  /** It calls others: it may be retried, has a timeout and an error port. */
  calls: boolean
}

const NO_PORTS: readonly string[] = []

export const STEP_TYPES: Readonly<Record<StepType, StepTypeRules>> = {
  condition: rules(readStepCondition, ['true', 'false'], ['true']),
  switch: {
    read: readCases,
    ports: (config) => [
      ...((config as { cases: SwitchCase[] } | null)?.cases ?? []).map(({ name }) => name),
      'default',
    ],
    goesOn: NO_PORTS,
    calls: false,
  },
  action: { ...rules(readAction, ['success', 'error'], ['success']), calls: true },
  delay: rules(readDelay, ['next'], ['next']),
  wait_event: rules(readWait, ['received', 'timeout'], NO_PORTS),
  for_each: rules(readForEach, ['done'], ['done']),
  set: rules(readVariables, ['next'], ['next']),
  http: { ...rules(readHttp, ['success', 'error'], ['success']), calls: true },
  message: { ...rules(readMessage, ['success', 'error'], ['success']), calls: true },
  stop: rules(readStop, NO_PORTS, NO_PORTS),
}

const MAX_ITEMS = 1000
const MAX_CONCURRENCY = 20
const DEFAULT_MAX_ITEMS = 100
const MAX_PORTS = 51

/** A step whose ports are not yet linked; `config` null: it is wrong, and only its place in the graph is known. */
export interface ReadStep {
  draft: StepDraft
  type: StepType
  ports: readonly string[]
  config: object | null
  step: Omit<CanonicalStep, 'next' | 'loop' | 'config' | 'type'>
  /** Ports as sent, by name. */
  links: Map<string, unknown>
}

/** Reads one step. What is wrong with it is reported; its ports still lead where they were meant to. */
export function readStep(compilation: Compilation, draft: StepDraft): ReadStep {
  const { id, members, path } = draft
  const reader = createReader(compilation, members, path, id)
  const type = take(reader, 'type')
  if (!isStepType(type)) {
    const near = typeof type === 'string' ? suggest(type, Object.keys(STEP_TYPES)) : null
    const hint = near === null ? '' : ` Did you mean "${near}"?`
    const message = `Give "type" one of ${Object.keys(STEP_TYPES).join(', ')}.${hint}`
    report(reader, 'unknown_step_type', at(reader, 'type'), message)
    return unknownStep(reader, draft)
  }
  for (const name of ['id', 'description', 'position']) take(reader, name)
  const name = take(reader, 'name')
  const { read, ports, calls } = STEP_TYPES[type]
  const config = read(reader)
  const links = readLinks(reader, config && ports(config))
  const step = {
    name: typeof name === 'string' ? name : null,
    retry: calls ? readRetry(reader, compilation.defaults.retry) : null,
    timeout_ms: calls ? (readTimeout(reader) ?? compilation.defaults.timeoutMs) : null,
    handler: draft.isHandler,
  }
  finish(reader)
  const all = config ? ports(config) : [...new Set([...ports(null), ...links.keys()])]
  return { draft, type, ports: all, config, step, links }
}

/** Stands in the graph like a step that only goes on, so that one mistake does not look like many. */
function unknownStep(reader: Reader, draft: StepDraft): ReadStep {
  const links = readLinks(reader, null)
  const ports = links.size === 0 ? ['next'] : [...links.keys()]
  const step = { name: null, retry: null, timeout_ms: null, handler: draft.isHandler }
  return { draft, type: 'set', ports, config: null, step, links }
}

/** `on_<port>`, and `next` for the port of that name. `ports` null: the step is wrong, and all are taken. */
function readLinks(reader: Reader, ports: readonly string[] | null): Map<string, unknown> {
  const links = new Map<string, unknown>()
  for (const name of Object.keys(reader.members)) {
    const port = name === 'next' ? 'next' : /^on_(.+)$/.exec(name)?.[1]
    if (port === undefined) continue
    const value = take(reader, name)
    if (ports?.includes(port) ?? links.size < MAX_PORTS) {
      if (value !== undefined) links.set(port, value)
    } else if (ports) {
      const known = ports.map((each) => (each === 'next' ? 'next' : `on_${each}`)).join(', ')
      const advice = known === '' ? 'it has none' : `use ${known}`
      const message = `This step has no port "${port.slice(0, 64)}": ${advice}.`
      report(reader, 'unknown_port', at(reader, name), message)
    }
  }
  return links
}

function readForEach(reader: Reader): ForEachConfig | null {
  const list = readList(reader)
  const body = readBody(reader)
  const maxItems = readInteger(reader, 'max_items', { min: 1, max: MAX_ITEMS, fallback: DEFAULT_MAX_ITEMS })
  const concurrency = readInteger(reader, 'concurrency', { min: 1, max: MAX_CONCURRENCY, fallback: 1 })
  const collect = readCollect(reader)
  const isPatient = readChoice(reader, 'item_errors', ['stop', 'continue'], 'stop') === 'continue'
  if (list === undefined || body === null) return null
  return {
    list,
    body,
    max_items: maxItems,
    concurrency,
    ...(collect !== undefined && { collect }),
    ...(isPatient && { continues: true }),
  }
}

/** In an item's own scope, at the end of its steps. */
function readCollect(reader: Reader): unknown {
  const sent = take(reader, 'collect')
  if (sent === undefined) return undefined
  const value = typeof sent === 'string' ? (expandPath(sent) ?? sent) : sent
  readTree({ ...reader, place: { ...reader.place, inBody: true } }, value, at(reader, 'collect'))
  return value
}

function readList(reader: Reader): unknown {
  const sent = take(reader, 'list')
  const path = at(reader, 'list')
  if (Array.isArray(sent)) {
    readTree(reader, sent, path)
    return sent
  }
  const text = sent === undefined ? null : readValueText(reader, 'list')
  const exact = text === null ? null : exactText(text)
  if (!exact) {
    report(reader, 'missing_property', path, 'Add "list", such as "trigger.items" or "{{trigger.items}}".')
    return undefined
  }
  reader.compilation.typeChecks.push(() => {
    const types = typesOfExpression(reader, exact)
    if (!types || types.has('array')) return
    const message = `Give a list here: {{${exact.source.slice(0, 80)}}} is declared as ${[...types].join(' or ')}.`
    report(reader, 'wrong_type', path, message)
  })
  return text
}

/** The id of the body's first step, or the body's steps. */
function readBody(reader: Reader): string | null {
  const body = take(reader, 'body')
  const first: unknown = Array.isArray(body) ? (body[0] as { id?: unknown } | null)?.id : body
  if (isStepId(first)) return first
  const message = 'Give "body" the id of its first step, or a list of steps.'
  report(reader, 'missing_property', at(reader, 'body'), message)
  return null
}

function rules(
  read: (reader: Reader) => object | null,
  ports: readonly string[],
  goesOn: readonly string[],
): StepTypeRules {
  return { read, ports: () => ports, goesOn, calls: false }
}

function isStepType(value: unknown): value is StepType {
  return typeof value === 'string' && Object.hasOwn(STEP_TYPES, value)
}
