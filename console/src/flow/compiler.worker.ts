import { type CompileRequest, createSession } from './compiler.ts'

const session = createSession()

addEventListener('message', ({ data }: MessageEvent<CompileRequest>) => {
  const answer = session(data)
  if (answer !== null) postMessage(answer)
})
