import type { components } from './schema.d.ts'

export type ProblemBody = components['schemas']['Problem']

/** An answer that is no success, or none at all (`code: 'unreachable'`). */
export class ApiProblem extends Error {
  readonly body: ProblemBody

  constructor(body: ProblemBody) {
    super(body.detail)
    this.name = 'ApiProblem'
    this.body = body
  }

  get code(): string {
    return this.body.code
  }

  get status(): number {
    return this.body.status
  }
}

/** Returns anything that was thrown as a problem that can be shown. */
export function toProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error
  return new ApiProblem({
    type: 'about:blank',
    code: 'unreachable',
    status: 0,
    title: 'The service does not answer',
    detail: error instanceof Error ? error.message : String(error),
  } as ProblemBody)
}
