import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import type pg from 'pg'
import type { Test } from 'tap'
import type { App } from '#src/app.ts'
import { appOn, listen } from '#test/infra/app-on.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { findBrowser, openBrowser } from '#test/support/browser.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { cookieOf, logIn } from '#test/support/session.ts'

const IS_BUILT = existsSync(resolve(import.meta.dirname, '../../../console/dist/index.html'))
const BROWSER = await findBrowser()

/**
 * The reason why the console's tests cannot run on this machine, for `skip`; false: they can. In CI they always run.
 */
export const noConsole =
  BROWSER.skip === false && !IS_BUILT && process.env['CI'] !== 'true'
    ? 'the console is not built: npm run console:build'
    : BROWSER.skip

/** Roles that a person at the console may have, in the order of their rights; `open`: nobody has a key. */
export type Visitor = 'open' | 'viewer' | 'editor' | 'admin' | 'platform'

export interface Console {
  /** The URL at which the service listens. */
  url: string
  tenantId: string
  /** Of the service, to bring about by rows what takes long. */
  pool: pg.Pool
  /** Asks the service as the shop's owner (with keys: as the platform), beside the browser. @throws {Error} for an answer of 400 or more */
  call: <T = Record<string, unknown>>(method: string, path: string, body?: unknown) => Promise<T>
  /** A page of the console in a browser of its own context, loaded. */
  visit: (path: string, options?: VisitOptions) => Promise<ConsolePage>
}

interface VisitOptions extends BrowserContextOptions {
  /** The browser is signed in by this key before it comes. */
  key?: string
}

export interface ConsolePage {
  page: Page
  /** Complaints of the browser so far: scripts, the content policy, answers of 400 or more. */
  faults: string[]
}

interface ConsoleOptions {
  /** Not in open mode: every caller needs a key. */
  hasKeys?: boolean
}

/** The service in open mode, worker included, on a database of its own, and one Chromium. */
export async function startConsole(
  t: Test,
  env: Record<string, string> = {},
  { hasKeys = false }: ConsoleOptions = {},
): Promise<Console> {
  const { url: databaseUrl } = await createTestDatabase(t)
  const tenantId = crypto.randomUUID()
  const app = await appOn(t, databaseUrl, {
    env: { ROLES: 'api,worker', ...env },
    ...(!hasKeys && { openTenantId: tenantId }),
  })
  const url = `http://127.0.0.1:${await listen(app)}`
  const headers = hasKeys ? { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': tenantId } : {}
  return {
    url,
    tenantId,
    pool: app.pools.api,
    call: async (method, path, body) => callService(url, { method, path, body, headers }),
    visit: await browse(t, url, app),
  }
}

/** One Chromium that visits the console of the service at an address; `app` lets in those who have a key. */
export async function browse(t: Test, url: string, app?: App): Promise<Console['visit']> {
  const browser = await openBrowser(t, BROWSER)
  return async (path, { key, ...options } = {}) => {
    const context = await browser.newContext({ locale: 'en-GB', ...options })
    if (key !== undefined && app !== undefined) await context.addCookies([await cookieFor(app, url, key)])
    return visit(context, `${url}${path}`)
  }
}

/** Logged in beside the browser: one address has ten tries a minute. */
async function cookieFor(app: App, url: string, key: string) {
  const [name = '', value = ''] = cookieOf(await logIn(app, { key })).split('=')
  return { name, value, url, httpOnly: true, sameSite: 'Strict' as const }
}

interface Call {
  method: string
  path: string
  body: unknown
  headers: Record<string, string>
}

async function callService<T>(url: string, { method, path, body, headers }: Call): Promise<T> {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return (text === '' ? {} : JSON.parse(text)) as T
}

async function visit(context: BrowserContext, url: string): Promise<ConsolePage> {
  const page = await context.newPage()
  const faults: string[] = []
  watchFaults(page, faults)
  await page.goto(url)
  await page.locator('main').waitFor()
  return { page, faults }
}

/** Writes down whatever the browser complains of from now on. */
export function watchFaults(page: Page, faults: string[]): void {
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text())
  })
  page.on('response', (answer) => {
    if (answer.status() >= 400) faults.push(`${answer.status()} ${answer.url()}`)
  })
}

/** Goes to another page of the console as a link there does, without a load. */
export async function goTo(page: Page, address: string): Promise<void> {
  await page.evaluate((to) => {
    const { history, dispatchEvent, Event } = globalThis as unknown as {
      history: { pushState: (state: null, title: string, to: string) => void }
      dispatchEvent: (event: object) => void
      Event: new (type: string) => object
    }
    history.pushState(null, '', to)
    dispatchEvent(new Event('popstate'))
  }, address)
  await settled(page)
}

/** Waits until nothing on the page is still being loaded. */
export async function settled(page: Page): Promise<void> {
  await page.locator('main h1').waitFor()
  const loading = page.locator('main .skeleton')
  while ((await loading.count()) > 0) await loading.first().waitFor({ state: 'detached' })
}

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8')

interface AxeViolation {
  id: string
  impact: string | null
  nodes: { html: string; failureSummary: string }[]
}

interface Axe {
  run: (options: object) => Promise<{ violations: AxeViolation[] }>
}

/**
 * Lists axe's findings on the page that would keep people from using it (serious, critical), a line each; by all its
 * rules, or some.
 */
export async function accessibilityFaults(page: Page, rules?: readonly string[]): Promise<string[]> {
  if (await page.evaluate<boolean>('globalThis.axe === undefined')) await page.evaluate(axe)
  const options = { resultTypes: ['violations'], ...(rules !== undefined && { runOnly: rules }) }
  const violations = await page.evaluate(async (given) => {
    const runner = (globalThis as unknown as { axe: Axe }).axe
    return (await runner.run(given)).violations
  }, options)
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`))
}
