import { defineProblem } from '#lib/api/problem.ts'

export const tooManyLiveStreams = defineProblem(
  'too_many_live_streams',
  429,
  'Too many live streams are open',
  'Close one, or share one between the pages of a browser. Lists can be read again at any time.',
)
