/** What operators copy out of docs/operations.md is what the service says and what tests run. */
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'
import { HAPROXY, NGINX } from '#test/fault/balancers.ts'
import { codeBlocks } from '#test/support/markdown.ts'

const ROOT = resolve(import.meta.dirname, '..')
const manual = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
const COMMANDS = ['docker', 'kubectl', 'node', 'npm', 'npx', 'curl']

t.test('each log line that the manual quotes begins one that the program logs', async (t) => {
  const sources = await Promise.all(
    ['src', 'db'].flatMap(async (folder) => {
      const files = await readdir(join(ROOT, folder), { recursive: true })
      const texts = files.filter((file) => file.endsWith('.ts'))
      return Promise.all(texts.map(async (file) => readFile(join(ROOT, folder, file), 'utf8')))
    }),
  )
  const source = sources.flat().join('\n')
  const prose = manual.replaceAll(/^```[\s\S]*?^```$/gm, '')
  // In code's letters, and three plain words or more: a sentence that somebody searches for.
  const quoted = [...prose.matchAll(/`([a-z]+:?(?: [a-z]+[,:]?){2,})`/g)].map(([, text = '']) => text)
  const lines = quoted.filter((text) => !COMMANDS.includes(text.split(' ')[0] ?? ''))
  t.ok(lines.length >= 5, lines.join('\n'))
  for (const line of lines) t.ok(source.includes(`'${line}`), line)
})

t.test('the balancers of the tests are set up as the manual has it', async (t) => {
  for (const [language, balancer] of [
    ['haproxy', HAPROXY],
    ['nginx', NGINX],
  ] as const) {
    const tested = new Set(linesOf(balancer.config(80, '/tmp', [3000])))
    const documented = codeBlocks(manual, language).flatMap(linesOf)
    t.ok(documented.length > 10, language)
    t.strictSame(
      documented.filter((line) => !tested.has(line)),
      [],
      language,
    )
  }
})

/** The lines of a configuration, with the same address for all servers. */
function linesOf(config: string): string[] {
  return config
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replace(/^server api\d+ \S+/, 'server api <address>')
        .replace(/^server [\d.]+:\d+/, 'server <address>')
        .replace(/^listen \S+;$/, 'listen <address>;'),
    )
    .filter((line) => line !== '')
}
