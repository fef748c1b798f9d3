import { number } from '../i18n/format.ts'
import { words } from '../i18n/words.svelte.ts'
import type { CardState, Painting } from './painting.ts'

const w = words({
  en: { problems: (count: number) => (count === 1 ? '1 problem' : `${number(count)} problems`) },
  de: { problems: (count: number) => (count === 1 ? '1 Problem' : `${number(count)} Probleme`) },
})

interface StepProblem {
  step_id: string | null
  severity: 'error' | 'warning'
}

/** What is wrong with a draft, at its steps. */
export function problemPainting(problems: readonly StepProblem[]): Painting {
  const cards = new Map<string, CardState>()
  for (const [id, ofStep] of Map.groupBy(problems, ({ step_id }) => step_id)) {
    if (id === null) continue
    const isWrong = ofStep.some(({ severity }) => severity === 'error')
    cards.set(id, { status: isWrong ? 'problem' : 'warning', note: w.problems(ofStep.length) })
  }
  return { cards, ways: new Set(), triggers: new Set(), isPath: false }
}
