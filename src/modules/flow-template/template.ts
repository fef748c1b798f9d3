import type { FieldError } from '#lib/api/problem.ts'
import { ENTITIES } from '#modules/event/index.ts'
import type { Parameters, ValuesOf } from './parameter.ts'
import type { Values } from './read-parameters.ts'

const CATEGORIES = ['customers', 'orders', 'inventory', 'leads', 'bookings', 'operations'] as const
export type Category = (typeof CATEGORIES)[number]
/** The place of what is a shop's own. */
export const OWN_CATEGORIES = [...CATEGORIES, 'other'] as const
export type OwnCategory = (typeof OWN_CATEGORIES)[number]

/** A flow in the graph format, without its name and status. */
export interface Definition {
  triggers: EventTrigger[]
  variables?: Record<string, string | number>
  steps: Step[]
  settings?: { enrolment: Record<string, unknown> }
}

export interface EventTrigger {
  type: 'event'
  event_types: string[]
  filter?: object
}

export interface Step {
  id: string
  type: string
  [member: string]: unknown
}

/** A ready-made flow: what a merchant may choose, and the definition that it makes of that. */
export interface FlowTemplate {
  readonly id: string
  readonly title: string
  readonly description: string
  readonly category: OwnCategory
  readonly parameters: Parameters
  /** Says what is wrong with values that are fine one by one. */
  readonly check: (values: Values) => FieldError[]
  /** Pure: the same values make the same definition. */
  readonly build: (values: Values) => Definition
}

interface Given<Ps extends Parameters> {
  id: string
  title: string
  description: string
  category: Category
  parameters: Ps
  check?: (values: ValuesOf<Ps>) => FieldError[]
  build: (values: ValuesOf<Ps>) => Definition
}

/** Lets `build` see its own parameters' types; values come from `readParameters`, which has checked them. */
export function defineTemplate<const Ps extends Parameters>(given: Given<Ps>): FlowTemplate {
  const { check, build, ...rest } = given
  return {
    ...rest,
    check: (values) => check?.(values as ValuesOf<Ps>) ?? [],
    build: (values) => build(values as ValuesOf<Ps>),
  }
}

export function onEvent(type: string, filter?: object): EventTrigger {
  return { type: 'event', event_types: [type], ...(filter !== undefined && { filter }) }
}

/** Gives the path of the id of what the trigger tells of: `trigger.lead_id`. */
export function idOf(kind: keyof typeof ENTITIES): string {
  return `trigger.${ENTITIES[kind].path}`
}

/** Matches events of the same kind that tell of the same thing as the trigger. */
export function sameAs(kind: keyof typeof ENTITIES): Record<string, string> {
  return { [ENTITIES[kind].path]: `{{${idOf(kind)}}}` }
}

/** Runs once for each customer, order or whatever else the trigger tells of. */
export function onceEach(kind: keyof typeof ENTITIES): { key: string; reenter_after: string } {
  return { key: `{{${idOf(kind)}}}`, reenter_after: 'never' }
}
