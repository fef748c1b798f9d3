import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { chromium } from 'playwright-core'
import type { Test } from 'tap'
import { type BrowserProgram, npmBrowser } from './npm-browser.ts'

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
/** The reason to skip a test that needs a browser; in CI it is not skipped. */
const NONE = 'no browser: install chromium, or set CHROME_PATH'

/** The browser of this machine, else that of npm, and whether tests that need one are skipped. */
export interface FoundBrowser {
  program: BrowserProgram | null
  skip: string | false
}

/** `CHROME_PATH` names one; `npm` there means that of npm, also where the machine has its own. */
export async function findBrowser(): Promise<FoundBrowser> {
  const named = process.env['CHROME_PATH'] ?? ''
  const own = named === 'npm' ? undefined : [named, ...PATHS].find((path) => path !== '' && existsSync(path))
  const program = own === undefined ? await npmBrowser() : { path: own, env: {} }
  return { program, skip: program === null && process.env['CI'] !== 'true' && NONE }
}

export async function openBrowser(
  t: Test,
  { program }: FoundBrowser,
  args: readonly string[] = [],
): Promise<Browser> {
  if (program === null) throw new Error(NONE)
  const browser = await chromium.launch({
    executablePath: program.path,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...args],
    env: { ...(process.env as Record<string, string>), ...program.env },
  })
  t.teardown(() => browser.close())
  return browser
}
