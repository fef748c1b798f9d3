import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { StepBase, StepId, TemplateTree } from '../elements.ts'
import { isStepId } from '../ids.ts'
import { typesOfExpression } from '../read/expression-types.ts'
import type { Reader } from '../read/reader.ts'
import { at, readChoice, readInteger, report, take } from '../read/reader.ts'
import { exactText, expandPath, readTree, readValueText } from '../read/template.ts'
import { type DefinitionOf, USUAL } from './definition.ts'

const MAX_ITEMS = { min: 1, max: 1000, fallback: 100 }
const CONCURRENCY = { min: 1, max: 20, fallback: 1 }
const ITEM_ERRORS = ['stop', 'continue'] as const

interface ForEachConfig {
  /** A template that renders to a list, or a list of templates. */
  list: TemplateTree
  /** The body's first step; the body is every step whose `loop` is this step's id. */
  body: StepId
  /** A longer list is an error of the step. */
  max_items: number
  /** Items that may be under way at a time. */
  concurrency: number
  /** The value to keep of each item when its steps are done. Left out: nothing. */
  collect?: TemplateTree
  /** An item whose error no port takes up ends by itself, and the loop goes on. Left out: the error is the flow's. */
  continues?: true
}
export type ForEachStep = StepBase<'for_each', ForEachConfig, 'done'>

export const forEachStep: DefinitionOf<ForEachStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Takes the steps of its body for each item of a list.',
    properties: {
      list: { type: ['string', 'array'], description: 'A path or template, or a list of templates.' },
      body: { type: ['string', 'array'], description: 'A list of steps, or the id of the first one.' },
      max_items: integerSchema(MAX_ITEMS),
      concurrency: integerSchema(CONCURRENCY),
      collect: { description: 'Kept of each item: a path, a template, or an object or list of templates.' },
      item_errors: { type: 'string', enum: [...ITEM_ERRORS], default: 'stop' },
    },
    required: ['list', 'body'],
    examples: [
      {
        type: 'for_each',
        list: 'trigger.items',
        max_items: 50,
        concurrency: 5,
        collect: '{{item.name}}',
        item_errors: 'continue',
        body: [{ id: 'note', type: 'set', variables: { name: '{{item.name}}' } }],
      },
    ],
  },
  read: readForEach,
  output: () => ({
    type: 'object',
    properties: {
      count: { type: 'integer' },
      succeeded: { type: 'integer' },
      failed: { type: 'integer' },
      results: { type: 'array' },
    },
  }),
  ports: () => ['done'],
  goesOn: ['done'],
  calls: false,
  causes: 'nothing',
  body: {
    first: ({ body }) => body,
    steps: ({ body }) => (Array.isArray(body) ? body : null),
    outlivesErrors: ({ continues }) => continues === true,
  },
}

function readForEach(reader: Reader): ForEachConfig | null {
  const list = readList(reader)
  const body = readBody(reader)
  const maxItems = readInteger(reader, 'max_items', MAX_ITEMS)
  const concurrency = readInteger(reader, 'concurrency', CONCURRENCY)
  const collect = readCollect(reader)
  const isPatient = readChoice(reader, 'item_errors', ITEM_ERRORS, 'stop') === 'continue'
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

/** Reads `collect` in an item's own scope, at the end of its steps. */
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

/** Returns the id of the body's first step. */
function readBody(reader: Reader): string | null {
  const body = take(reader, 'body')
  const first: unknown = Array.isArray(body) ? (body[0] as { id?: unknown } | null)?.id : body
  if (isStepId(first)) return first
  const message = 'Give "body" the id of its first step, or a list of steps.'
  report(reader, 'missing_property', at(reader, 'body'), message)
  return null
}

function integerSchema({ min, max, fallback }: typeof MAX_ITEMS): SafeSchema {
  return { type: 'integer', minimum: min, maximum: max, default: fallback }
}
