import type { StreamState } from './follow-stream.ts'

/** How the stream of GET /api/stream stands, which all pages of a browser share. */
class ChangesStream {
  state = $state.raw<StreamState>({ is: 'connecting' })
}

export const changesStream = new ChangesStream()
