import { type CompileRequest, createSession } from './compiler.ts'

const session = createSession()

addEventListener('message', ({ data }: MessageEvent<CompileRequest>) => {
  const answer = session(data)
  // As text, for the same reason as what is asked.
  if (answer !== null) postMessage(JSON.stringify(answer))
})
