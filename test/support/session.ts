import type { LightMyRequestResponse } from 'fastify'
import type { App } from '#src/app.ts'

/** Headers that a browser sends with a request of the service's own page, and the one that the page adds. */
export const OWN_PAGE = { 'sec-fetch-site': 'same-origin', 'x-bcs-console': '1' }

let addresses = 0

/** POST /api/session, each from an address of its own: one has ten tries a minute. */
export async function logIn(
  app: App,
  body: object,
  headers: Record<string, string> = {},
  remoteAddress = `2001:db8::${(addresses++).toString(16)}`,
): Promise<LightMyRequestResponse> {
  return app.inject({ method: 'POST', url: '/api/session', payload: body, headers, remoteAddress })
}

/** The session's cookie of an answer, as a browser sends it back. */
export function cookieOf({ headers, body }: LightMyRequestResponse): string {
  const [cookie] = [headers['set-cookie']].flat()
  const pair = cookie?.split(';')[0]
  if (pair === undefined) throw new Error(`no cookie: ${body}`)
  return pair
}

/** The headers of a browser that is logged in by the key, on a page of the service. */
export async function browserHeaders(app: App, body: object): Promise<Record<string, string>> {
  const answer = await logIn(app, body)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return { cookie: cookieOf(answer), ...OWN_PAGE }
}
