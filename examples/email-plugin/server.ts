/** The email plugin as a process of its own. See README.md for its variables. */
import { readConfig } from './config.ts'
import { startEmailPlugin } from './plugin.ts'

const plugin = await startEmailPlugin(readConfig(process.env))

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void plugin.close().then(() => process.exit(0)))
}
