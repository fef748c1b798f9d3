import { firstField } from '../kit/keep-focus.ts'

/** Returns what finds the control of a member that is being added to the form in which an element stands now. */
export function fieldBeside(element: Element | undefined, member: string): () => HTMLElement | null {
  const form = element?.parentElement
  return () => {
    const part = form?.querySelector(`:scope > [data-member="${CSS.escape(member)}"]`)
    return firstField(part) ?? part?.querySelector('button') ?? null
  }
}
