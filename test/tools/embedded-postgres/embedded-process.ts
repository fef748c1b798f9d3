/** A process of its own that uses the embedded Postgres in argv[2] until it reads a line, then leaves it. */
import { once } from 'node:events'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'

const postgres = await startEmbeddedPostgres({
  dataDir: process.argv[2] ?? '',
  log: { info: (details: unknown) => console.error(JSON.stringify(details)) },
})
console.log(JSON.stringify({ url: postgres.url, adopted: postgres.adopted }))
await once(process.stdin, 'data')
await postgres.stop()
process.stdin.destroy()
