import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'

const ROOT = resolve(import.meta.dirname, '..')
const page = await readFile(join(ROOT, 'docs/security.md'), 'utf8')
/** A row's last cell: a file and the name of a test in it. */
const PROOF = /\| `(test\/[^`]+\.test\.ts)` (.+?) *\|$/gm

t.test('every promise of the threat model names a test that there is', async (t) => {
  const rows = page
    .split('\n')
    .filter((line) => /^\| (?!promise|who|-)/.test(line) && line.includes('`test/'))
  const proofs = [...page.matchAll(PROOF)]
  t.ok(proofs.length >= 30)
  t.equal(proofs.length, rows.length, 'each row can be read')
  for (const [, file = '', name = ''] of proofs) {
    const text = await readFile(join(ROOT, file), 'utf8').catch(() => null)
    t.ok(text !== null, `${file} is there`)
    t.ok(namesOf(text ?? '').has(name), `${file} has "${name}"`)
  }
})

t.test('every row of a promise has a proof', (t) => {
  const promised = page.slice(page.indexOf('## What is promised'), page.indexOf('## What is not promised'))
  const rows = promised.split('\n').filter((line) => line.startsWith('| ') && !/^\| (?:promise|-)/.test(line))
  for (const row of rows) t.match(row, new RegExp(PROOF.source), row.slice(2, 80).trim())
  t.end()
})

/** Names of a file's tests, whichever quotes they stand in. */
function namesOf(text: string): Set<string> {
  const calls = text.matchAll(
    /\bt\.test\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g,
  )
  return new Set([...calls].map(([, single, double, template]) => single ?? double ?? template ?? ''))
}
