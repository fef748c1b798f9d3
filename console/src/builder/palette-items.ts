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
    inactive: 'The plugin is paused or disabled',
  },
  de: {
    act: 'Etwas tun',
    decide: 'Entscheiden',
    wait: 'Warten',
    data: 'Daten',
    platform: 'Plattform',
    inactive: 'Das Plugin ist pausiert oder abgeschaltet',
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

/** What is found by all the words of a search, by group; what is called so comes before what only has to do with it. */
export function foundIn(items: readonly PaletteItem[], search: string): [string, PaletteItem[]][] {
  const wanted = search.trim().toLowerCase()
  const ranked = items
    .map((item) => ({ item, rank: rankOf(item, wanted) }))
    .filter(({ rank }) => rank < NOT_FOUND)
    .sort((one, other) => one.rank - other.rank)
  return [
    ...Map.groupBy(
      ranked.map(({ item }) => item),
      ({ group }) => group,
    ),
  ]
}

const NOT_FOUND = 4

function rankOf({ label, text, group }: PaletteItem, wanted: string): number {
  const parts = wanted.split(/\s+/)
  if (wanted === '') return 0
  const isIn = (where: string): boolean => parts.every((part) => where.toLowerCase().includes(part))
  if (label.toLowerCase().startsWith(wanted)) return 0
  if (isIn(label)) return 1
  if (isIn(`${label} ${text}`)) return 2
  return isIn(`${label} ${text} ${group}`) ? 3 : NOT_FOUND
}

/** What else people call the types, in either language. */
const ALSO_CALLED: Readonly<Record<string, string>> = {
  condition: 'if else branch filter wenn verzweigung',
  delay: 'wait pause sleep later warten später',
  for_each: 'loop repeat list schleife wiederholen',
  http: 'webhook request call api url anfrage aufruf',
  message: 'send email mail e-mail sms text notification nachricht benachrichtigung senden',
  set: 'variable value wert',
  stop: 'end ende beenden',
  switch: 'case branch fall verzweigung',
  wait_event: 'wait until event warten ereignis bis',
}

function typeItem([type, { label, group }]: [string, StepTypeEntry]): PaletteItem {
  return {
    key: `type ${type}`,
    group: w[group],
    glyph: typeGlyph(type),
    label: label[locale.language],
    text: `${type} ${ALSO_CALLED[type] ?? ''}`,
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
    note: action.plugin_active ? null : w.inactive,
    type: 'action',
    members: { action_type: action.action_type, plugin_id: ownerOf(action), input: {} },
  }
}
