import { defineProblem } from '#lib/api/problem.ts'

export const inletNotFound = defineProblem(
  'inlet_not_found',
  404,
  'There is no such inlet',
  'Check the URL: the flow behind it may have been deleted or never published, or the URL was replaced by another one.',
)
export const inletConflict = defineProblem(
  'inlet_conflict',
  409,
  'Another body came with this key',
  'An Idempotency-Key stands for one body. Send the first body unchanged, or this one with its own key.',
)
export const inletUnverified = defineProblem(
  'inlet_unverified',
  401,
  'The request is not shown to be from whom the inlet takes it',
  'See errors: the header that is missing or does not match. Sign the body as it is sent, with the secret of the inlet.',
)
export const inletUnready = defineProblem(
  'inlet_unready',
  503,
  'The inlet cannot verify anything now',
  'Its secret is missing: whoever has the flow gives it to the connection that the trigger names. Send the request again later.',
)
