import createClient, { type Middleware } from 'openapi-fetch'
import { spelledNumber } from '../../../src/lib/json/raw-number.ts'
import { ApiProblem, type ProblemBody, toProblem } from './problem.ts'
import type { components, paths } from './schema.d.ts'
import { session } from './session.svelte.ts'

export type Schema = components['schemas']

/**
 * Reads JSON so that no number is rounded: a number that JavaScript would write in another way stays as it was
 * written, both to look at and when it is sent back.
 */
export function readJson(text: string): unknown {
  const reviver = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && context?.source !== undefined ? spelledNumber(context.source) : value
  return JSON.parse(text, reviver)
}

/** openapi-fetch reads an answer by its `json()` if it knows the answer's length. */
async function exactFetch(request: Request): Promise<Response> {
  const answer = await fetch(request)
  if (!answer.ok || answer.body === null || answer.headers.get('content-type')?.includes('json') !== true) {
    return answer
  }
  const text = await answer.text()
  const headers = new Headers(answer.headers)
  headers.set('content-length', String(text.length))
  const exact = new Response(text, { status: answer.status, headers })
  exact.json = async () => readJson(text)
  return exact
}

const conditions: Middleware = {
  onRequest: ({ request }) => {
    request.headers.set('x-bcs-console', '1')
    for (const [name, value] of Object.entries(session.headers)) request.headers.set(name, value)
    return request
  },
  onResponse: ({ response }) => {
    session.seeStatus(response.status)
    return undefined
  },
}

export const api = createClient<paths>({ baseUrl: '/', fetch: exactFetch })
api.use(conditions)

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The data of an answer. @throws {ApiProblem} */
export async function ask<T>(asked: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>
  try {
    answer = await asked
  } catch (error) {
    throw toProblem(error)
  }
  const { data, error, response } = answer
  if (response.ok) return data as T
  const isProblem = typeof error === 'object' && error !== null && 'code' in error
  throw isProblem
    ? new ApiProblem(error as ProblemBody)
    : toProblem(new Error(`${response.status} ${response.statusText}`))
}
