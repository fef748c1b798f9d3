import { StepBudget } from '#lib/step-budget.ts'

/** Rounds in which what the cheap ones leave over is shared out again. */
const MAX_ROUNDS = 4

/** Null: it costs more than the budget that it was given. */
export type Verdict = boolean | null

export interface Decided<T> {
  /** In the order of the items. */
  readonly yes: T[]
  /** Those that could not be decided within the budget. */
  readonly undecided: T[]
}

/**
 * Decides many under one budget, each with an equal share of it, so that a dear one is in nobody's way: the rest of
 * the budget is shared again among those whose share was not enough.
 */
export function decideFairly<T>(
  items: readonly T[],
  budget: StepBudget,
  decide: (item: T, share: StepBudget) => Verdict,
): Decided<T> {
  const verdicts: Verdict[] = []
  let open = items.map((_, index) => index)
  let tried = 0
  for (let round = 0; round < MAX_ROUNDS && open.length > 0; round++) {
    const steps = Math.floor(budget.left / open.length)
    // A share that was not enough before is not enough now.
    if (steps <= tried) break
    tried = steps
    open = open.filter((index) => {
      const share = new StepBudget(steps)
      const verdict = decide(items[index] as T, share)
      budget.take(share.spent)
      verdicts[index] = verdict
      return verdict === null
    })
  }
  return {
    yes: items.filter((_, index) => verdicts[index] === true),
    undecided: open.map((index) => items[index] as T),
  }
}
