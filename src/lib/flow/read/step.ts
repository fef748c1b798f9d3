import { type CanonicalStep, definitionOf, isStepType, STEP_TYPES, type StepType } from '../steps/index.ts'
import { suggest } from '../suggest.ts'
import type { StepDraft } from './drafts.ts'
import type { Compilation, Reader } from './reader.ts'
import { at, createReader, finish, report, take } from './reader.ts'
import { readRetry, readTimeout } from './settings.ts'

/** Of a step that is wrong: of one that is right, its type says which there are. */
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

/** Reads one step. Faults are reported; its ports still lead where they were meant to. */
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
  const definition = definitionOf(type)
  const { calls } = definition
  const config = definition.read(reader)
  const ports = definition.ports(config)
  const links = readLinks(reader, config && ports)
  const step = {
    name: typeof name === 'string' ? name : null,
    retry: calls ? readRetry(reader, compilation.defaults.retry) : null,
    timeout_ms: calls ? (readTimeout(reader) ?? compilation.defaults.timeoutMs) : null,
    handler: draft.isHandler,
  }
  finish(reader)
  const all = config ? ports : [...new Set([...ports, ...links.keys()])]
  return { draft, type, ports: all, config, step, links }
}

/** Stands in the graph like a step that only goes on, so that one mistake does not look like many. */
function unknownStep(reader: Reader, draft: StepDraft): ReadStep {
  const links = readLinks(reader, null)
  const ports = links.size === 0 ? ['next'] : [...links.keys()]
  const step = { name: null, retry: null, timeout_ms: null, handler: draft.isHandler }
  return { draft, type: 'set', ports, config: null, step, links }
}

/** Takes `on_<port>`, and `next` for the port of that name. `ports` null: the step is wrong, and all are taken. */
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
