import { readFileSync } from 'node:fs'

const LIMIT = /^Max open files\s+(\d+)/m

/** Returns the number of files and sockets that this process may have open; null: not known, or without a limit. */
export function openFilesLimit(): number | null {
  try {
    const [, soft] = LIMIT.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? null : Number(soft)
  } catch {
    return null
  }
}
