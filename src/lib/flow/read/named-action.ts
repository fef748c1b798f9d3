import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { ActionResolution, CatalogueAction } from '../catalogue.ts'
import type { Path } from '../problems.ts'
import { checkPayload } from './payload-types.ts'
import type { Reader } from './reader.ts'
import { at, report } from './reader.ts'

/** Steps: more say nothing new, and would leave no room for what else is wrong. */
const MAX_UNCONNECTED = 50

/** Names an action, as it was given: `name` is the member that does. */
interface NamedAction {
  name: 'action_type' | 'action_id'
  actionType: unknown
  pluginRef: unknown
}

/** Finds the action of that name; null when there is none, which is reported. @param hint what to do without a name */
export function resolveNamed(
  reader: Reader,
  { name, actionType, pluginRef }: NamedAction,
  hint: string,
): CatalogueAction | null {
  if (typeof actionType !== 'string' || actionType === '') {
    report(reader, 'missing_property', at(reader, name), hint)
    return null
  }
  if (pluginRef !== undefined && typeof pluginRef !== 'string') {
    const message = 'Give "plugin_id" the slug or UUID of a plugin, or "platform".'
    report(reader, 'unknown_plugin', at(reader, 'plugin_id'), message)
    return null
  }
  const resolution = reader.compilation.catalogue.resolveAction(actionType, pluginRef ?? null)
  if (!('problem' in resolution)) {
    reportUnconnected(reader, resolution.action, at(reader, name))
    return resolution.action
  }
  reportUnresolved(reader, resolution, at(reader, name))
  return null
}

/** Reports an action that would be refused unasked: `path` is of its name. */
function reportUnconnected({ compilation, stepId }: Reader, action: CatalogueAction, path: Path): void {
  if (action.plugin_id !== null || compilation.catalogue.hasPlatform !== false) return
  if (compilation.unconnected === MAX_UNCONNECTED) return
  compilation.unconnected++
  const message = `"${action.action_type}" fails until the platform is connected: an admin says where it is, under Settings or by PUT /api/tenant/platform.`
  compilation.problems.report('platform_not_configured', path, message, stepId)
}

/** Reports that the catalogue has no such action; `path` is of its name. */
function reportUnresolved(
  reader: Reader,
  { problem, message }: Extract<ActionResolution, { problem: string }>,
  path: Path,
): void {
  const isAboutPlugin = problem === 'unknown_plugin' || problem === 'plugin_inactive'
  report(reader, problem, isAboutPlugin ? at(reader, 'plugin_id') : path, message)
}

/** Judges the input of a platform action: parameters of its path have to be good, all else the platform decides. */
export function checkByHint(
  reader: Reader,
  { required_fields: pathFields }: CatalogueAction,
  schema: SafeSchema,
  input: Record<string, unknown>,
  path: Path,
): void {
  const properties = { ...schema.properties }
  for (const name of pathFields) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (property && isGiven(input, name)) checkPayload(reader, property, input[name], [...path, name])
    properties[name] = {}
  }
  const required = (schema.required ?? []).filter((name) => !pathFields.includes(name))
  // An empty text says as little as none.
  const given = Object.fromEntries(
    Object.entries(input).filter(([name, value]) => value !== '' || !required.includes(name)),
  )
  checkPayload(reader, { ...schema, properties, required }, given, path, 'hint')
}

export function isGiven(input: Record<string, unknown>, name: string): boolean {
  const value = Object.hasOwn(input, name) ? input[name] : undefined
  return value !== undefined && value !== null && value !== ''
}
