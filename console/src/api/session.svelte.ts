import type { components } from './schema.d.ts'
import { ApiProblem, type ProblemBody, toProblem } from './problem.ts'
import { tab } from '../storage.ts'

type SessionInfo = components['schemas']['Session']
type StartedSession = components['schemas']['StartedSession']
export type Role = NonNullable<SessionInfo['role']>

const RANK: Readonly<Record<Role, number>> = { viewer: 1, editor: 2, admin: 3, platform: 4 }
const SHOP = 'bcs.shop'
const RETURN = 'bcs.return'

/** Holds who is signed in. Keys are never kept: the browser holds a cookie that no script reads. */
class Session {
  info = $state<SessionInfo | null>(null)
  /** Undefined until the service has answered once. */
  isKnown = $state(false)
  /** The shop that a platform session works for. */
  shop = $state<string | null>(tab.getItem(SHOP))
  /** Where the page that made the portal link wants people back; it outlives the session, and a load of the page. */
  returnUrl = $state<string | null>(tab.getItem(RETURN))
  /** Of an embedded page, which gets no cookie: for as long as the page is open. */
  #token: string | null = null

  get headers(): Record<string, string> {
    return {
      ...(this.#token !== null && { authorization: `Bearer ${this.#token}` }),
      ...(this.info?.may_choose_tenant === true && this.shop !== null && { 'x-tenant-id': this.shop }),
    }
  }

  /** A page in a frame has a session of its own; all others share the browser's cookie. */
  get isOfPage(): boolean {
    return this.#token !== null
  }

  /** True for callers whose role is at least this one; the service decides anyway. */
  may(role: Role): boolean {
    const own = this.info?.role
    return own != null && RANK[own] >= RANK[role]
  }

  get isPlugin(): boolean {
    return this.info?.plugin != null
  }

  /** A platform session that has not chosen a shop yet sees what is above all shops, and nothing of one. */
  get hasShop(): boolean {
    return this.info?.tenant_id != null || this.shop !== null || this.info?.kind === 'open'
  }

  chooseShop(id: string | null): void {
    this.shop = id
    if (id === null) tab.removeItem(SHOP)
    else tab.setItem(SHOP, id)
  }

  /** A session that ended while the page was open leads to the login, which keeps the place. */
  seeStatus(status: number): void {
    if (status === 401) this.info = null
  }

  /** @throws {ApiProblem} when the service cannot say it */
  async load(): Promise<void> {
    const answer = await send('GET', undefined, this.headers)
    if (!answer.ok && answer.status !== 401) throw await problemOf(answer)
    this.info = answer.ok ? ((await answer.json()) as SessionInfo) : null
    this.isKnown = true
  }

  /** @throws {ApiProblem} */
  async signIn(
    secret: { key: string; tenant_id?: string } | { portal_token: string },
  ): Promise<StartedSession> {
    const isFramed = window.parent !== window
    const answer = await send('POST', secret, isFramed ? { 'x-bcs-session': 'bearer' } : {})
    if (!answer.ok) throw await problemOf(answer)
    const body = (await answer.json()) as StartedSession
    this.#token = body.token ?? null
    this.info = body
    this.isKnown = true
    this.#keepReturn(body.return_url ?? null)
    return body
  }

  #keepReturn(url: string | null): void {
    this.returnUrl = url
    if (url === null) tab.removeItem(RETURN)
    else tab.setItem(RETURN, url)
  }

  /** @throws {ApiProblem} when the session may still live */
  async signOut(): Promise<void> {
    const answer = await send('DELETE', undefined, this.headers)
    if (!answer.ok && answer.status !== 401) throw await problemOf(answer)
    this.#token = null
    this.info = null
    this.chooseShop(null)
  }
}

export const session = new Session()

async function send(method: string, body: unknown, headers: Record<string, string>): Promise<Response> {
  return fetch('/api/session', {
    method,
    headers: {
      ...headers,
      'x-bcs-console': '1',
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}

async function problemOf(answer: Response): Promise<ApiProblem> {
  try {
    return new ApiProblem((await answer.json()) as ProblemBody)
  } catch (error) {
    return toProblem(error)
  }
}
