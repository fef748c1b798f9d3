import type { ApiProblem } from '../api/problem.ts'

/** Returns a refusal's words on one field of the request, by its JSON pointer, and on the field's parts. */
export function faultAt(problem: ApiProblem | null, pointer: string): string | undefined {
  const faults = (problem?.body.errors ?? []).filter(
    (each) => each.pointer === pointer || each.pointer.startsWith(`${pointer}/`),
  )
  return faults.length === 0 ? undefined : faults.map((each) => each.detail).join(' ')
}
