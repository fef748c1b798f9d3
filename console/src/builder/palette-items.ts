import { typeGlyph } from '../canvas/labels.ts'
import { STEP_TYPES, type StepTypeEntry } from '../flow/step-types.ts'
import { locale, words } from '../i18n/words.svelte.ts'
import { type Action, ownerOf } from './actions.ts'

const w = words({
  en: {
    act: 'Do something',
    decide: 'Decide',
    wait: 'Wait',
    data: 'Data',
    platform: 'Platform',
    paused: 'The plugin is paused',
  },
  de: {
    act: 'Etwas tun',
    decide: 'Entscheiden',
    wait: 'Warten',
    data: 'Daten',
    platform: 'Plattform',
    paused: 'Das Plugin ist pausiert',
  },
})

/** A step that may be put into a flow, as the palettes show it. */
export interface PaletteItem {
  key: string
  group: string
  glyph: string
  label: string
  /** What it is found by, beside its label and group. */
  text: string
  note: string | null
  type: string
  members: Readonly<Record<string, unknown>>
}

/** All types of steps, with what each action can do in place of the type `action`. A handler repeats nothing. */
export function paletteItems(actions: readonly Action[], isHandler: boolean): PaletteItem[] {
  const types = [...STEP_TYPES].filter(([type, { hasBody }]) => type !== 'action' && !(hasBody && isHandler))
  return [...types.map(typeItem), ...actions.map(actionItem)]
}

/** What is found by all the words of a search, by group. */
export function foundIn(items: readonly PaletteItem[], search: string): [string, PaletteItem[]][] {
  const parts = search.toLowerCase().split(/\s+/)
  const found = items.filter(({ label, text, group }) => {
    const all = `${label} ${text} ${group}`.toLowerCase()
    return parts.every((part) => all.includes(part))
  })
  return [...Map.groupBy(found, ({ group }) => group)]
}

function typeItem([type, { label, group }]: [string, StepTypeEntry]): PaletteItem {
  return {
    key: `type ${type}`,
    group: w[group],
    glyph: typeGlyph(type),
    label: label[locale.language],
    text: type,
    note: null,
    type,
    members: {},
  }
}

function actionItem(action: Action): PaletteItem {
  return {
    key: `action ${ownerOf(action)} ${action.action_type}`,
    group: action.plugin ?? w.platform,
    glyph: typeGlyph('action'),
    label: action.title === '' ? action.action_type : action.title,
    text: `${action.action_type} ${action.description} ${action.category}`,
    note: action.plugin_active ? null : w.paused,
    type: 'action',
    members: { action_type: action.action_type, plugin_id: ownerOf(action), input: {} },
  }
}
