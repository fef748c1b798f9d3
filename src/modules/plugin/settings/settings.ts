import { isDeepStrictEqual } from 'node:util'
import { matchesPattern } from '#lib/event-pattern.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { PluginPatch } from '../schemas.ts'
import {
  EACH_FIELD,
  type EffectiveSettings,
  type FieldName,
  mapFields,
  originOf,
  type Settings,
  type ShownSettings,
} from './fields.ts'
import type { Defaults } from './field-kinds.ts'

/** The changes that a caller wants: undefined stays as it is, null returns to the default. */
export type Changes = Omit<PluginPatch, 'slug' | 'status' | 'keep_waiting'>

/** With all of these null, a replacement is a patch. */
const ALL_DEFAULTS = Object.fromEntries(
  EACH_FIELD.flatMap(([name, { required, outlivesReplacement }]) =>
    required === true || outlivesReplacement === true ? [] : [[name, null]],
  ),
) as Partial<Record<FieldName, null>>

const NOTHING = mapFields(({ initial }) => initial) as Settings

/** The changes that make what is left out return to its default. */
export function asReplacement(changes: Changes): Changes {
  return { ...ALL_DEFAULTS, ...changes } as Changes
}

/** Returns what the body's schema cannot say; empty when nothing is wrong. */
export function checkChanges(changes: Changes): FieldError[] {
  return EACH_FIELD.flatMap(([name, { check }]) => {
    const given = changes[name] ?? null
    return given === null || check === undefined ? [] : check(given)
  })
}

/** Returns the names of what is given that only admins give. */
export function forAdmins(changes: Changes): FieldName[] {
  return EACH_FIELD.flatMap(([name, { isForAdmins }]) =>
    isForAdmins === true && changes[name] !== undefined ? [name] : [],
  )
}

/** Returns every URL that is given, with the field's name. */
export function urlsOf(changes: Changes): { name: FieldName; url: string }[] {
  return EACH_FIELD.flatMap(([name, { isUrl }]) => {
    const url = changes[name]
    return isUrl === true && typeof url === 'string' ? [{ name, url }] : []
  })
}

export interface Applied {
  settings: Settings
  /** Stored values that requests carry are in `settings`, sent by somebody who need not know them. */
  keptSent: boolean
  /** The same of what only admins give. */
  keptForAdmins: boolean
  errors: FieldError[]
}

/** The settings after the changes, which `checkChanges` has found well-formed. `current` null: there are none yet. */
export function applyChanges(current: Settings | null, changes: Changes): Applied {
  const before = current ?? NOTHING
  const webhookUrl = { before: before.webhook_url, after: changes.webhook_url ?? before.webhook_url }
  const settled = mapFields(({ initial, isSent, isForAdmins, settle }, name) => {
    const given: unknown = changes[name]
    const {
      value,
      kept = false,
      errors = [],
    } = settle?.(given, before[name], webhookUrl) ?? {
      value: given === undefined ? before[name] : (given ?? initial),
    }
    return { value, keptSent: kept && isSent === true, keptForAdmins: kept && isForAdmins === true, errors }
  })
  return {
    settings: mapFields((_, name) => settled[name].value) as Settings,
    keptSent: Object.values(settled).some(({ keptSent }) => keptSent),
    keptForAdmins: Object.values(settled).some(({ keptForAdmins }) => keptForAdmins),
    errors: Object.values(settled).flatMap(({ errors }) => errors),
  }
}

/** The names of the settings that differ. */
export function changedFields(before: Settings, after: Settings): FieldName[] {
  return EACH_FIELD.flatMap(([name]) => (isDeepStrictEqual(before[name], after[name]) ? [] : [name]))
}

/** Tells whether a change of any of these fields has this consequence. */
export function concerns(changed: readonly string[], consequence: 'rematches' | 'restarts'): boolean {
  return EACH_FIELD.some(([name, field]) => field[consequence] === true && changed.includes(name))
}

/** Tells whether requests of any kind would go to an origin that they do not go to now. */
export function movesOrigin(before: Settings, after: Settings): boolean {
  const known = new Set(originsOf(before))
  return originsOf(after).some((origin) => !known.has(origin))
}

/** Tells whether some event that was taken may not be taken any more. */
export function isNarrowed(before: Settings, after: Settings): boolean {
  return !before.events.every((old) =>
    after.events.some(
      ({ event, filter }) =>
        covers(event, old.event) && (filter === null || isDeepStrictEqual(filter, old.filter)),
    ),
  )
}

/** Tells whether every type that `inner` takes is taken by `outer`, too. */
function covers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '*') return true
  return inner !== '*' && matchesPattern(outer, inner)
}

/** The settings as an answer has them. */
export function showSettings(settings: Settings, mayReadSecrets: boolean): ShownSettings {
  return mapFields(({ show }, name) => {
    const value = settings[name]
    return show === undefined ? value : show(value, mayReadSecrets)
  }) as ShownSettings
}

/** The settings that the audit log tells with their values: what is sealed, or may be a customer's, is not among them. */
export function toldSettings(settings: Settings): object {
  const shown: Readonly<Record<string, unknown>> = showSettings(settings, false)
  return Object.fromEntries(
    EACH_FIELD.flatMap(([name, { column, tell }]) => {
      if (column.endsWith('_sealed') || tell === null) return []
      return [[name, tell === undefined ? shown[name] : tell(settings[name])]]
    }),
  )
}

/** Returns the settings that apply: the plugin's own value, or the service's where that is null. */
export function effectiveSettings(settings: Settings, defaults: Defaults): EffectiveSettings {
  return Object.fromEntries(
    EACH_FIELD.flatMap(([name, { effective }]) =>
      effective === undefined ? [] : [[name, settings[name] ?? effective.otherwise(defaults)]],
    ),
  ) as EffectiveSettings
}

function originsOf(settings: Settings): string[] {
  return urlsOf(settings as Changes).map(({ url }) => originOf(url))
}
