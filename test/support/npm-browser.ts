import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** A browser to start: the program, and the variables that its environment must have. */
export interface BrowserProgram {
  path: string
  env: Record<string, string>
}

/**
 * The folder for the package's browser, inside this checkout. The package's own place is the system's temporary
 * folder, where it would start any program that somebody else has put there.
 */
const CACHE = resolve(import.meta.dirname, '../../node_modules/.cache')
const FOLDER = join(CACHE, 'console-browser')
const UNPACK = `import('@sparticuz/chromium').then((chromium) => chromium.default.executablePath())`
/** By this the package also unpacks the libraries that a bare system lacks. */
const WITH_LIBRARIES = { AWS_EXECUTION_ENV: 'nodejs24.x' }

/** The Chromium of the npm package, for Linux on x64; null where it does not run or was not installed. */
export async function npmBrowser(): Promise<BrowserProgram | null> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null
  if (!existsSync(FOLDER) && !(await unpack())) return null
  return {
    path: join(FOLDER, 'chromium'),
    env: { LD_LIBRARY_PATH: join(FOLDER, 'al2023/lib'), FONTCONFIG_FILE: join(FOLDER, 'fonts.conf') },
  }
}

/** Into a folder that then gets its name: of two that unpack at the same time one is thrown away. */
async function unpack(): Promise<boolean> {
  const folder = join(CACHE, `console-browser-${process.pid}`)
  await mkdir(folder, { recursive: true })
  try {
    await promisify(execFile)(process.execPath, ['-e', UNPACK], {
      cwd: import.meta.dirname,
      env: { ...process.env, ...WITH_LIBRARIES, TMPDIR: folder },
    })
    await writeFile(join(folder, 'fonts.conf'), fontsIn(join(FOLDER, 'fonts')))
    await rename(folder, FOLDER)
    return true
  } catch {
    return existsSync(FOLDER)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function fontsIn(folder: string): string {
  return `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>${folder}</dir><cachedir>${folder}-cache</cachedir></fontconfig>
`
}
