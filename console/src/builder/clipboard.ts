import { copyText } from '../kit/browser.ts'

/** For where the browser does not let the page look at the clipboard. */
let last: string | null = null

/** Remembers what the browser itself puts on the clipboard. */
export function rememberClip(text: string): void {
  last = text
}

/** Puts a text on the clipboard where no key of the browser's does it. */
export async function putOnClipboard(text: string): Promise<void> {
  rememberClip(text)
  await copyText(text)
}

/** The text that is on the clipboard, or else that was put there by this page; null: there is none. */
export async function readClipboard(): Promise<string | null> {
  try {
    return await navigator.clipboard.readText()
  } catch {
    return last
  }
}
