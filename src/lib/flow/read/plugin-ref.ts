import { PLATFORM } from '../resolve-action.ts'
import type { Reader } from './reader.ts'
import { at, report, take } from './reader.ts'

/** A plugin's UUID, or `platform`; null when there is none by this name, which is reported. */
export function readPluginRef(reader: Reader, name: string): string | null {
  const ref = take(reader, name)
  if (ref === PLATFORM) return PLATFORM
  const plugin = typeof ref === 'string' ? reader.compilation.catalogue.resolvePlugin(ref) : null
  if (!plugin) {
    const message = `Give "${name}" the slug or UUID of an installed plugin, or "platform".`
    report(reader, 'unknown_plugin', at(reader, name), message)
    return null
  }
  if (!plugin.active) {
    report(reader, 'plugin_inactive', at(reader, name), `Activate the plugin "${plugin.slug}" first.`)
  }
  return plugin.id
}
