import type { components } from '../../api/schema.d.ts'

type Schema = components['schemas']

export type ParameterType = Schema['FlowTemplateParameter']['type']

/** A value of a flow that a template may ask for. */
export interface Askable {
  /** JSON pointer into the definition. */
  place: string
  /** The step or the trigger that it is in; null: it is a variable of the flow. */
  holder: string | null
  /** Its way below that: `input › title`. */
  label: string
  value: string | number
}

/** What an author says of a value that is asked for. */
export interface Mark {
  name: string
  title: string
  description: string
  type: ParameterType
  places: string[]
  minimum: string
  maximum: string
  /** One a line. */
  choices: string
  /** Of a text, as it was read: it has no field. */
  longest?: { type: ParameterType; chars: number }
}

type Members = Readonly<Record<string, unknown>>

/** Members by which the parts of a flow hang together: no template asks for them. */
const OF_STRUCTURE =
  /^(?:id|type|name|next|start|field|operator|event_types?|plugin_id|action_type|action_id|layout|on_.*)$/

/** Parts of a step that are made like it. */
const LIKE_STEPS = new Set(['cases', 'condition', 'all', 'any', 'none', 'value'])

/** Tells whether what is below has its meaning by its name: what a step sends may be called as it likes. */
function isStructure([part]: readonly string[]): boolean {
  return part === undefined || LIKE_STEPS.has(part)
}

/** Lists texts and whole numbers of a definition, in either format: its variables, its triggers, its steps. */
export function askables(definition: unknown): Askable[] {
  if (!isMembers(definition)) return []
  const inner = definition['flow_definition']
  const [from, root] = isMembers(inner) ? (['/flow_definition', inner] as const) : (['', definition] as const)
  return [
    ...below(root['variables'], `${from}/variables`, null, [], false),
    ...listed(definition['triggers'], '/triggers'),
    ...below(definition['trigger'], '/trigger', holderOf(definition['trigger'], '/trigger', 0), [], true),
    ...listed(root['steps'], `${from}/steps`),
    ...listed(root['error_handlers'], `${from}/error_handlers`),
  ]
}

function listed(list: unknown, at: string): Askable[] {
  if (!Array.isArray(list)) return []
  return (list as unknown[]).flatMap((each, index) =>
    below(each, `${at}/${index}`, holderOf(each, at, index), [], true),
  )
}

function holderOf(each: unknown, at: string, index: number): string {
  const members = isMembers(each) ? each : {}
  for (const name of ['name', 'id', 'type']) {
    const text = members[name]
    if (typeof text === 'string' && text !== '') return text
  }
  return `${at.slice(1)} ${index + 1}`
}

function below(
  value: unknown,
  place: string,
  holder: string | null,
  path: readonly string[],
  isChecked: boolean,
): Askable[] {
  if (typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value))) {
    return [{ place, holder, label: path.join(' › '), value }]
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, each]) => {
    if (isChecked && isStructure(path) && OF_STRUCTURE.test(name)) return []
    const segment = name.replaceAll('~', '~0').replaceAll('/', '~1')
    // The body of a loop has steps of its own.
    if (name === 'body' && isChecked && Array.isArray(each)) return listed(each, `${place}/${segment}`)
    return below(each, `${place}/${segment}`, holder, [...path, name], isChecked)
  })
}

/** A mark of a value that is asked for from now on. */
export function markOf({ place, label, value }: Askable, taken: ReadonlySet<string>): Mark {
  const last = label.split(' › ').at(-1) ?? ''
  return {
    name: freeName(last, taken),
    title: last.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase()),
    description: '',
    type: typeof value === 'number' ? 'integer' : /\{\{|\{%/.test(value) ? 'template' : 'text',
    places: [place],
    minimum: '',
    maximum: '',
    choices: typeof value === 'number' ? '' : value,
  }
}

/** What the service says of a parameter, for the form. */
export function readMark(parameter: Schema['FlowTemplateParameter']): Mark {
  const { name, title, description, type, places = [], minimum, maximum, choices = [] } = parameter
  const { max_length: chars } = parameter
  return {
    name,
    title,
    description,
    type,
    places: [...places],
    minimum: minimum === undefined ? '' : String(minimum),
    maximum: maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? '' : String(maximum),
    choices: choices.join('\n'),
    ...(chars !== undefined && { longest: { type, chars } }),
  }
}

/** Tells whether a definition has, at a JSON pointer, a value that may be asked for as such. */
export function isPlace(definition: unknown, place: string, type: ParameterType): boolean {
  let value = definition
  for (const segment of place.split('/').slice(1)) {
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false
    value = (value as Members)[name]
  }
  return type === 'integer' ? Number.isSafeInteger(value) : typeof value === 'string'
}

type SentMark = NonNullable<Schema['CreateTemplateRequest']['parameters']>[number]

export function sentMark({
  name,
  title,
  description,
  type,
  places,
  minimum,
  maximum,
  choices,
  longest,
}: Mark): SentMark {
  return {
    name,
    ...(title.trim() !== '' && { title: title.trim() }),
    description,
    type,
    places,
    ...(type === 'integer' && minimum.trim() !== '' && { minimum: Number(minimum) }),
    ...(type === 'integer' && maximum.trim() !== '' && { maximum: Number(maximum) }),
    // Each kind of text has its own usual length.
    ...(type === longest?.type && { max_length: longest.chars }),
    ...(type === 'choice' && { choices: [...new Set(linesOf(choices))] }),
  }
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

const NAME_MAX_CHARS = 60

function freeName(label: string, taken: ReadonlySet<string>): string {
  const plain = label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^[^a-z]+|_+$/g, '')
    .slice(0, NAME_MAX_CHARS)
  const base = plain === '' ? 'value' : plain
  for (let count = 1; ; count++) {
    const name = count === 1 ? base : `${base}_${count}`
    if (!taken.has(name)) return name
  }
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
