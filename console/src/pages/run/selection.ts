import { router } from '../../router.svelte.ts'

/** What is looked at, in the address: a step, in a loop of one item. Nothing that happens meanwhile changes it. */
export interface Selection {
  step: string
  iteration: string
}

export function selected(): Selection | null {
  const step = router.query.get('step')
  return step === null ? null : { step, iteration: router.query.get('iteration') ?? '' }
}

export function selectionHref({ step, iteration }: Selection): string {
  const query = new URLSearchParams(router.query)
  query.set('step', step)
  if (iteration === '') query.delete('iteration')
  else query.set('iteration', iteration)
  return `?${query.toString()}`
}

export function isSelected(selection: Selection | null, step: string, iteration = ''): boolean {
  return selection?.step === step && selection.iteration === iteration
}
