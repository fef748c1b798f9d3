/**
 * `npm run openapi`: writes openapi/openapi.json, the types of the console's requests, docs/problems.md and
 * docs/flow-problems.md from the code. With
 * `--check` it writes nothing, and exits with 1 when one of them is not what the code says.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import openapiTypes, { astToString } from 'openapi-typescript'
import { generateDocuments } from './document.ts'

const ROOT = resolve(import.meta.dirname, '..')

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })

const documents = await generateDocuments()
const types = astToString(await openapiTypes(documents['openapi/openapi.json'] ?? ''))
for (const [path, text] of Object.entries({ ...documents, 'console/src/api/schema.d.ts': types })) {
  const file = resolve(ROOT, path)
  if ((await current(file)) === text) {
    console.log(`${path} is current`)
  } else if (values.check) {
    console.error(`${path} is stale: run npm run openapi`)
    process.exitCode = 1
  } else {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
    console.log(`wrote ${path}`)
  }
}

async function current(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
