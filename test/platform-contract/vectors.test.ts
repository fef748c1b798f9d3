import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { VECTORS } from './support.ts'

t.test('every payload that is kept is sent by a test', async (t) => {
  const names = (await readdir(VECTORS)).map((file) => file.replace(/\.json$/, ''))
  t.ok(names.length > 0)
  const tests = (await readdir(import.meta.dirname)).filter((file) => file.endsWith('.test.ts'))
  const source = (
    await Promise.all(tests.map((file) => readFile(`${import.meta.dirname}/${file}`, 'utf8')))
  ).join('\n')
  for (const name of names) t.ok(source.includes(`vector('${name}')`), name)
})
