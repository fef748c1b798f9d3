import fc from 'fast-check'
import type { FlowCatalogue } from '#lib/flow/index.ts'

/** Has whatever a flow names, so that nothing but the flow itself can be wrong. */
export const everything: FlowCatalogue = {
  strictEvents: false,
  eventTypes: new Map(),
  resolveAction: (actionType, plugin) => ({
    action: {
      action_type: actionType,
      plugin_id: plugin,
      required_fields: [],
      optional_fields: [],
      input_schema: null,
      output_schema: null,
      emits: [],
    },
  }),
  resolvePlugin: (slug) => ({ id: slug, slug, active: true }),
}

const IDS = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const target = fc.option(fc.constantFrom('end', ...IDS), { nil: undefined })
const step = (id: string): fc.Arbitrary<{ id: string; type?: unknown }> =>
  fc
    .oneof(
      fc.record({ type: fc.constant('set'), variables: fc.constant({ x: 1 }), next: target }),
      fc.record({ type: fc.constant('http'), url: fc.constant('https://example.com/'), on_success: target }),
      fc.record({
        type: fc.constant('condition'),
        field: fc.constant('x'),
        operator: fc.constant('exists'),
        on_true: target,
        on_false: target,
      }),
      fc.record({
        type: fc.constant('for_each'),
        list: fc.constant('trigger.items'),
        body: fc.oneof(
          fc.constantFrom(...IDS),
          fc.constant([{ id: `${id}_inner`, type: 'http', url: 'https://example.com/' }]),
        ),
        on_done: target,
      }),
    )
    .map((members) => ({
      id,
      // Members that are left out are not there at all.
      ...Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)),
    }))
/** Flows of up to six steps, of which many compile. */
export const definitions = fc
  .subarray([...IDS], { minLength: 1 })
  .chain((ids) => fc.tuple(...ids.map(step)))
  .map((steps) => ({ trigger: { type: 'manual' }, steps }))

const odd = fc.oneof(fc.jsonValue(), fc.constantFrom('a', 'b', 'end', null))
const oddStep = fc.oneof(
  odd,
  fc.record(
    {
      id: fc.oneof(fc.constantFrom(...IDS, 'end', 'No id'), odd),
      type: fc.constantFrom('set', 'condition', 'switch', 'for_each', 'stop', 'nonsense'),
      cases: fc.array(fc.oneof(odd, fc.record({ name: fc.constantFrom('x', 'y') }))),
      body: fc.oneof(odd, fc.array(fc.record({ id: odd, type: fc.constantFrom('set', 'for_each') }))),
      next: odd,
      on_true: odd,
      on_done: odd,
      on_x: odd,
      position: odd,
    },
    { requiredKeys: [] },
  ),
)
const members = {
  steps: fc.oneof(odd, fc.array(oddStep, { maxLength: 6 })),
  error_handlers: fc.oneof(odd, fc.array(oddStep, { maxLength: 3 })),
  start: odd,
  layout: odd,
  settings: odd,
}
const triggers = {
  trigger: odd,
  triggers: fc.oneof(odd, fc.array(fc.oneof(odd, fc.record({ id: odd, type: odd })))),
}
/** So many of those that compile, which is one in fifteen: how many are among some hundred is chance. */
export const THAT_COMPILE = { numRuns: 30, maxSkipsPerRun: 100 } as const

/** A draft with any content at all. */
export const anyDraft = fc.oneof(
  fc.record({ ...members, ...triggers }, { requiredKeys: [] }),
  fc.record(
    {
      ...triggers,
      trigger_event: odd,
      trigger_filter: odd,
      flow_definition: fc.oneof(odd, fc.record(members, { requiredKeys: [] })),
    },
    { requiredKeys: [] },
  ),
)
