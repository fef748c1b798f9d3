/** The email plugin as a process of its own. See README.md for its variables. */
import { type PluginConfig, readConfig } from './config.ts'
import { startEmailPlugin } from './plugin.ts'

const plugin = await startEmailPlugin(configOrExit())

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void plugin.close().then(() => process.exit(0)))
}

function configOrExit(): PluginConfig {
  try {
    return readConfig(process.env)
  } catch (error) {
    console.error((error as Error).message)
    process.exit(2)
  }
}
