import { resolve } from 'node:path'

const COMPILED = process.env['NODE_COMPILE_CACHE']

/**
 * All that a program which a test starts gets of the test's own environment: the path of programs, and the folder in
 * which Node keeps what it has compiled (`.taprc`), which halves the start of each.
 */
export const CHILD_ENV: Readonly<Record<string, string | undefined>> = {
  PATH: process.env['PATH'],
  ...(COMPILED !== undefined && { NODE_COMPILE_CACHE: resolve(COMPILED) }),
}
