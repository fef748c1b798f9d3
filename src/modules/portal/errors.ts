import { defineProblem } from '#lib/api/problem.ts'

export const portalLinkInvalid = defineProblem(
  'portal_link_invalid',
  401,
  'The link is not good, or not any more',
  'A portal link is good once and for a short time. Go back to where you found it, and open it anew.',
)
