import { defineProblem } from '#lib/api/problem.ts'

export const actionsInvalid = defineProblem(
  'actions_invalid',
  422,
  'The actions cannot be registered',
  'See errors: each names the action and the field. Nothing was changed.',
)
export const tooManyActions = defineProblem(
  'too_many_actions',
  409,
  'The actions of this tenant take too much space',
  "All plugins' actions together are at most 32 MiB of JSON. Remove some first.",
)

export const actionNotFound = defineProblem(
  'action_not_found',
  404,
  'The plugin has no such action',
  'Check the name and the plugin: GET /api/plugins/actions lists who has what.',
)
