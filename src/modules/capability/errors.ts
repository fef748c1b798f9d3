import { defineProblem } from '#lib/api/problem.ts'

export const manifestInvalid = defineProblem(
  'manifest_invalid',
  422,
  'The capability manifest cannot be used',
  'See errors: each points into the manifest. Nothing was changed.',
)
export const capabilitiesUnavailable = defineProblem(
  'capabilities_unavailable',
  502,
  'The plugin did not give its capabilities',
  'The plugin has to answer GET /api/capabilities below its base_url with its manifest. What it gave last stays.',
)
