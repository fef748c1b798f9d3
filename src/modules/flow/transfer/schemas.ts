import { Type } from '@sinclair/typebox'
import { Nullable, Timestamp } from '#lib/api/schema.ts'
import { Flow, GRAPH_EXAMPLE } from '../schemas.ts'

const Requirements = Type.Object({
  plugins: Type.Array(Type.String({ description: 'A slug' })),
  actions: Type.Array(
    Type.Object({
      plugin_id: Nullable(Type.String({ description: 'A slug or `platform`; null: whose the name is' })),
      action_type: Type.String(),
    }),
  ),
  event_types: Type.Array(Type.String()),
  connections: Type.Array(Type.String({ description: 'A name; their values are in no export' })),
})

export const FlowExport = Type.Object(
  {
    format: Type.String({ maxLength: 64, description: '`bettercallsold.flow`' }),
    format_version: Type.Integer({ minimum: 1 }),
    exported_at: Type.Optional(Timestamp),
    name: Type.Optional(Type.String()),
    definition: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: "The flow's draft, with plugins by their slugs",
    }),
    // What older services exported has no connections.
    requires: Type.Optional(Type.Partial(Requirements)),
  },
  {
    $id: 'FlowExport',
    additionalProperties: true,
    description: 'A flow as a document of its own, to keep or to use in another tenant',
    examples: [
      {
        format: 'bettercallsold.flow',
        format_version: 1,
        name: GRAPH_EXAMPLE.name,
        definition: GRAPH_EXAMPLE,
        requires: {
          plugins: [],
          actions: [{ plugin_id: 'platform', action_type: 'create_task' }],
          event_types: ['customer.created'],
          connections: [],
        },
      },
    ],
  },
)

export const ImportedFlow = Type.Object(
  {
    ...Flow.properties,
    missing: Type.Object(Requirements.properties, {
      description:
        'What the flow needs that is not there. `event_types` only in a strict shop: a lenient one needs no declarations',
    }),
  },
  { $id: 'ImportedFlow' },
)
