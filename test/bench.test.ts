import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { FIGURES } from '#bench/figures.ts'
import type { Report } from '#bench/support/report.ts'

/** Some 85 s on two idle cores; other tests may run beside it. */
t.setTimeout(300_000)

t.test('the quick bench takes every figure and ends by itself', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-bench-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'result.json')

  const { stdout } = await promisify(execFile)(process.execPath, [
    join(import.meta.dirname, '../bench/bench.ts'),
    '--quick',
    '--json',
    path,
  ])

  const report = JSON.parse(await readFile(path, 'utf8')) as Report
  t.strictSame(report.failed, [])
  t.notMatch(stdout, /NaN|Infinity/, 'no figure is without a value')
  t.strictSame(
    report.figures.map(({ name }) => name),
    FIGURES.map(({ name }) => name),
  )
  for (const { name, rows } of report.figures) {
    t.ok(rows.length > 0, `${name} has rows`)
    for (const row of rows) {
      t.ok(Number.isFinite(row.ours) && row.ours >= 0, `${row.name}: ours is a number`)
      t.ok(row.ceiling === null || row.ceiling > 0, `${row.name}: the ceiling is positive or there is none`)
      t.ok(stdout.includes(`| ${row.name} `), `${row.name} is in the table`)
    }
  }
})
