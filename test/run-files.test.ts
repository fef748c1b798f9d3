import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { CHILD_ENV } from './support/child-env.ts'
import { temporaryFolder } from './support/serve.ts'

const ROOT = resolve(import.meta.dirname, '..')

interface Outcome {
  code: number | null
  output: string
  errors: string
}

/** Runs what `npm test` does. As a child of a run it leaves the server alone that the run's files share. */
async function runAll(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [join(ROOT, 'test/all.ts'), ...args], {
    env: { ...CHILD_ENV, TAP_CHILD_ID: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, output, errors }
}

async function writeTest(t: Test, source: string): Promise<string> {
  const file = join(await temporaryFolder(t), 'one.test.mjs')
  await writeFile(file, source.replace('TAP', import.meta.resolve('tap')))
  return file
}

async function runFile(t: Test, source: string): Promise<Outcome> {
  return runAll(['--reporter=tap', await writeTest(t, source)])
}

const SOURCES = {
  'one that passes': [0, `import t from 'TAP'\nt.pass('it is well')\n`],
  'an assertion that fails': [1, `import t from 'TAP'\nt.fail('it is not')\n`],
  'a test that throws': [1, `import t from 'TAP'\nt.test('a', async () => { throw new Error('no') })\n`],
  'an error beside the tests': [
    1,
    `import t from 'TAP'\nt.pass('it is well')\nqueueMicrotask(() => { throw new Error('no') })\n`,
  ],
  'a process that ends badly': [1, `import t from 'TAP'\nt.pass('it is well')\nprocess.exit(3)\n`],
  'a process that is killed': [
    1,
    `import t from 'TAP'\nt.pass('it is well')\nprocess.kill(process.pid, 'SIGKILL')\n`,
  ],
  'a file that is no program': [1, `import t from 'TAP'\nt.pass(\n`],
} as const

t.test('npm test fails with any file that does, whatever its end', async (t) => {
  for (const [what, [wanted, source]] of Object.entries(SOURCES)) {
    const { code, output } = await runFile(t, source)
    t.equal(code, wanted, code === wanted ? what : `${what}: ${output}`)
  }
})

t.test('a test file and what it starts run without a loader', async (t) => {
  const { code, output } = await runFile(
    t,
    `import t from 'TAP'
    import { execFileSync } from 'node:child_process'
    const ask = () => JSON.stringify([process.execArgv.filter((arg) => arg.startsWith('--')), process.env.NODE_OPTIONS])
    console.log('# own ' + ask())
    console.log('# child ' + execFileSync(process.execPath, ['-p', '(' + ask + ')()']))
    t.pass('asked')
    `,
  )
  t.equal(code, 0)
  t.match(output, '# own [[],null]')
  t.match(output, '# child [[],null]')
})

t.test('a file that is named twice runs once', async (t) => {
  const file = await writeTest(t, SOURCES['one that passes'][1])
  const { code, output } = await runAll(['--reporter', 'tap', file, file])
  t.equal(code, 0, output)
  t.match(output, /^1\.\.1$/m)
})

t.test('a reporter may be named by a word of its own, and outside of npm', async (t) => {
  const file = await writeTest(t, SOURCES['one that passes'][1])
  const { code, output, errors } = await runAll(['--reporter', 'json', file], { PATH: '/usr/bin:/bin' })
  t.equal(code, 0, errors)
  t.match(JSON.parse(output), { suites: [{ name: /one\.test\.mjs$/, ok: true }] })
})

t.test('an option that would have no effect is refused', async (t) => {
  for (const option of ['--jobs=1', '--timeout=5', '--reporter']) {
    const { code, output, errors } = await runAll([option])
    t.equal(code, 2, option)
    t.equal(output, '')
    t.match(errors, option.split('=')[0])
    t.match(errors, '--reporter-file')
  }
})
