import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { CHILD_ENV } from '#test/support/child-env.ts'

/** A fenced block of a page: a reader runs it, saves it, or compares it with the output. */
export interface Block {
  language: string
  /** The text behind the language: the place in which it runs, or the file that it is. */
  name: string
  text: string
}

export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', name = '', text = '']) => ({ language, name, text }),
  )
}

/** A page with other ports than those that it prints: somebody else's service may be on these. */
export function withPorts(page: string, ports: Record<number, number>): string {
  return page.replaceAll(
    /(\blisten\(|\bPORT=|127\.0\.0\.1:)(\d+)\b/g,
    (_all, before: string, port: string) => `${before}${ports[Number(port)] ?? port}`,
  )
}

const ROOT = resolve(import.meta.dirname, '../..')

/**
 * A folder with an npm whose `install` takes what this checkout has already; all else is npm's own business.
 * @returns the folder to put in front of PATH
 */
export async function npmWithoutNetwork(home: string): Promise<string> {
  const folder = join(home, 'bin')
  await mkdir(folder)
  const script = `#!/bin/sh
if [ "$1" = install ]; then exec ln -s '${join(ROOT, 'node_modules')}' node_modules; fi
PATH="\${PATH#*:}" exec npm "$@"
`
  await writeFile(join(folder, 'npm'), script)
  await chmod(join(folder, 'npm'), 0o755)
  return folder
}

/** A program that a page has its reader start, in a terminal of its own. */
export interface Program {
  output: () => string
  kill: () => Promise<void>
}

/** Runs the one command as it stands, and all that it starts ends with the test. */
export function startProgram(
  t: Test,
  cwd: string,
  command: string,
  env: Record<string, string> = {},
): Program {
  const child = spawn('sh', ['-c', command], {
    cwd,
    env: { ...CHILD_ENV, HOME: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const closed = once(child, 'close')
  const kill = async (): Promise<void> => {
    // The group: npx has a process of its own around the program.
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL')
    await closed
  }
  t.teardown(kill)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  }
  return { output: () => text, kill }
}

/** A terminal: folder and variables last from one block to the next. */
export interface Terminal {
  /** Runs the lines as they stand. @returns their output @throws when one of them fails */
  run(lines: string): Promise<string>
}

export function openTerminal(t: Test, cwd: string, env: Record<string, string>): Terminal {
  const shell = spawn('sh', [], {
    cwd,
    env: { ...CHILD_ENV, HOME: cwd, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const closed = once(shell, 'close')
  t.teardown(async () => {
    shell.kill('SIGKILL')
    await closed
  })
  let printed = ''
  let complaints = ''
  let look: () => void = () => undefined
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
    look()
  })
  shell.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  shell.once('close', () => look())
  return {
    run: async (lines) => {
      printed = ''
      complaints = ''
      const end = `-- ${crypto.randomUUID()}`
      const finished = new Promise<string>((resolve, reject) => {
        look = () => {
          const at = printed.indexOf(end)
          if (at >= 0) resolve(printed.slice(0, at))
          else if (shell.exitCode !== null) reject(new Error(`${lines}\n${printed}${complaints}`))
        }
      })
      shell.stdin.write(`set -e\n${lines}\nset +e\nprintf '%s\\n' '${end}'\n`)
      return finished
    },
  }
}

/**
 * Compares an answer with the part of it that a page shows: `…` stands for anything.
 * @returns the first difference, or null
 */
function differenceFrom(shown: unknown, found: unknown, at = ''): string | null {
  if (typeof shown === 'string' && shown.includes('…')) {
    const parts = shown.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    if (typeof found === 'string' && new RegExp(`^${parts.join('.+')}$`, 's').test(found)) return null
  } else if (Array.isArray(shown)) {
    if (Array.isArray(found) && found.length === shown.length) {
      return firstOf(shown.map((part, index) => differenceFrom(part, found[index], `${at}/${index}`)))
    }
  } else if (typeof shown === 'object' && shown !== null) {
    if (typeof found === 'object' && found !== null) {
      const members = found as Record<string, unknown>
      return firstOf(
        Object.entries(shown).map(([name, part]) => differenceFrom(part, members[name], `${at}/${name}`)),
      )
    }
  } else if (shown === found) return null
  return `${at}: shown ${JSON.stringify(shown)}, found ${JSON.stringify(found)}`
}

function firstOf(differences: (string | null)[]): string | null {
  return differences.find((difference) => difference !== null) ?? null
}

const LOOKS = 100
const LOOK_MS = 100

/**
 * Runs the blocks of a page as a reader would, one after the other, and compares their output with the one that the
 * page shows below them. Blocks with a name are the caller's.
 */
export async function walkThrough(
  t: Test,
  blocks: readonly Block[],
  { terminal, named }: { terminal: Terminal; named: (block: Block) => Promise<void> },
): Promise<void> {
  for (const [index, block] of blocks.entries()) {
    if (block.name !== '') await named(block)
    if (block.language !== 'sh' || block.name !== '') continue
    const next = blocks[index + 1]
    if (next?.language !== 'json') {
      await terminal.run(block.text)
      continue
    }
    const shown: unknown = JSON.parse(next.text)
    // A command that only looks may be run again, as a reader would while something is on its way.
    const looks = /-X|-d /.test(block.text) ? 1 : LOOKS
    let difference: string | null = null
    for (let look = 0; look < looks; look++) {
      if (look > 0) await delay(LOOK_MS)
      const printed = await terminal.run(block.text)
      difference = differenceFrom(shown, JSON.parse(printed))
      if (difference === null) break
    }
    t.equal(difference, null, block.text)
  }
}
