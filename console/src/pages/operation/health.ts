import { readJson, type Schema } from '../../api/client.ts'

/** Health as it is also when it is bad: then the answer is a 503 with the same content. */
export async function readHealth(): Promise<Schema['Readiness']> {
  const answer = await fetch('/health/ready')
  return readJson(await answer.text()) as Schema['Readiness']
}
