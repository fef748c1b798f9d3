import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { chromium } from 'playwright-core'
import type { Test } from 'tap'

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where this machine has a browser. Null: nowhere, and tests that need one are skipped; CI has one. */
export function findBrowser(): string | null {
  return PATHS.find((path) => existsSync(path)) ?? (process.env['CI'] === 'true' ? '/usr/bin/chromium' : null)
}

export async function openBrowser(
  t: Test,
  executablePath: string,
  args: readonly string[] = [],
): Promise<Browser> {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', ...args] })
  t.teardown(() => browser.close())
  return browser
}
