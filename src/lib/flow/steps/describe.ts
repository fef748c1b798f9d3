import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { StepDefinition } from './definition.ts'
import { STEP_TYPES } from './index.ts'
import { CALL_MEMBERS } from './member-schemas.ts'

/** A type of step, as builders see it. */
export interface StepDescription {
  type: string
  description: string
  /** Those that all steps of the type have: `next`, or `on_<port>`. */
  ports: string[]
  calls: boolean
  has_body: boolean
  /** Of a whole step, as it stands in a definition. */
  schema: SafeSchema
  examples: Record<string, unknown>[]
}

const STEP_MEMBERS: Record<string, SafeSchema> = {
  name: { type: 'string', description: 'What people call it.' },
  description: { type: 'string' },
  position: { description: 'Where the builder draws it.' },
}

/** Describes every type of step. */
export function describeSteps(): StepDescription[] {
  return Object.entries(STEP_TYPES).map(([type, definition]) => describe(type, definition))
}

function describe(type: string, { schema, linear, ...definition }: StepDefinition): StepDescription {
  const { description, properties, required = [], namesPorts = false, examples } = schema
  const ports = definition.ports(null).map((port) => (port === 'next' ? 'next' : `on_${port}`))
  return {
    type,
    description,
    ports,
    calls: definition.calls,
    has_body: definition.body !== null,
    schema: {
      type: 'object',
      properties: {
        id: { type: 'string', description: 'Unique among the flow’s steps and handlers.' },
        type: { type: 'string', enum: [type] },
        ...STEP_MEMBERS,
        ...properties,
        ...(definition.calls && CALL_MEMBERS),
        ...Object.fromEntries(
          ports.map((port) => [
            port,
            { type: 'string', description: 'The id of a step, or `end`.' } as const,
          ]),
        ),
      },
      required: ['id', 'type', ...required],
      additionalProperties: namesPorts,
    },
    examples: linear === null ? examples : [...examples, linear],
  }
}
