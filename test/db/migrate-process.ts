/** A replica that boots: migrates the database in argv[2] from the folder in argv[3] and says what it applied. */
import { migrate } from '#db/migrate.ts'

const { applied } = await migrate(process.argv[2] ?? '', {
  directory: process.argv[3] ?? '',
  log: { info: () => undefined },
})
console.log(JSON.stringify(applied))
