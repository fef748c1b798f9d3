import { words } from '../../../i18n/words.svelte.ts'

/** Why a test was ended before the flow was, by the limit. */
export const limitTexts = words({
  en: {
    steps: 'The test was ended after 5,000 steps.',
    time: 'The test was ended after five seconds.',
    size: 'The test was ended: its inputs and outputs are too large.',
  },
  de: {
    steps: 'Der Test wurde nach 5.000 Schritten beendet.',
    time: 'Der Test wurde nach fünf Sekunden beendet.',
    size: 'Der Test wurde beendet: Eingaben und Ergebnisse sind zu groß.',
  },
})
