import { defineProblem } from '#lib/api/problem.ts'

export const platformUrlRefused = defineProblem(
  'platform_url_refused',
  422,
  'The platform URL cannot be used',
  'Give an http or https URL with a public address.',
)
