/** Parts of the platform's documents, as test/platform-contract keeps them. */
import manifest from '#test/platform-contract/vectors/flow-design.manifest.json' with { type: 'json' }
import flow from '#test/platform-contract/vectors/flow-design.flow.json' with { type: 'json' }
import registerActions from '#test/platform-contract/vectors/overview.register-actions.json' with { type: 'json' }
import simpleFlow from '#test/platform-contract/vectors/simplified-architecture.flow.json' with { type: 'json' }

/** flow-design.md §2A: a plugin's plugin.json. */
export const PLUGIN_JSON = manifest

/** flow-design.md §2B: the answer of a plugin's /api/capabilities. */
export const CAPABILITIES = {
  ...PLUGIN_JSON.capabilities,
  health: 'healthy',
  last_updated: '2025-08-26T12:00:00Z',
}

/** flow-design.md §3A. */
export const FLOW = flow

/** simplified-architecture.md, "Simple Flow Definition Example". */
export const SIMPLE_FLOW = simpleFlow

/** overview.md: a plugin's body for register-actions. */
export const REGISTER_ACTIONS = registerActions
