import { getContext, setContext } from 'svelte'
import { SvelteSet } from 'svelte/reactivity'
import type { PastEvent } from './past-events.ts'
import type { ScopeEntry } from './scope-entry.ts'

export type { ScopeEntry }

/** What is wrong with a part of the definition, addressed by JSON pointer. */
export interface FormProblem {
  pointer: string
  severity: 'error' | 'warning'
  message: string
}

/** The past event whose values are shown in place of samples. */
export interface FormSample {
  /** Of the events that may be chosen. */
  types: readonly string[]
  /** Empty: none is chosen. */
  id: string
  /** Null also while it is loading. */
  event: PastEvent | null
  choose: (id: string) => void
}

/** What all fields of a form look at. */
class FormState {
  scope = $state.raw<readonly ScopeEntry[]>([])
  problems = $state.raw<readonly FormProblem[]>([])
  /** In which times are read and written where neither the flow's schedule nor the trigger's data names one. */
  zone = $state('UTC')
  /** That of the flow's schedules; null: none is named. */
  scheduleZone = $state<string | null>(null)
  /** Null: nothing that is chosen here is started by events. */
  sample = $state.raw<FormSample | null>(null)

  #quiet = $state<string | null>(null)
  readonly #left = new SvelteSet<string>()

  /** The part that was just added: of its fields nothing is said before they were left. Null: none. */
  set quiet(pointer: string | null) {
    if (pointer === this.#quiet) return
    this.#quiet = pointer
    this.#left.clear()
  }

  /** Who was in this member's field goes on. */
  leave(pointer: string): void {
    this.#left.add(pointer)
  }

  /** What keeps exactly this member from being published. */
  faultAt(pointer: string): string | undefined {
    return this.#isQuiet(pointer) ? undefined : this.#at(pointer, 'error')
  }

  /** What keeps this member, or anything in it, from being published. */
  faultIn(pointer: string): string | undefined {
    const inside = this.problems.filter((each) => each.pointer.startsWith(`${pointer}/`))
    const faults = [pointer, ...new Set(inside.map((each) => each.pointer))].map((each) => this.faultAt(each))
    const said = faults.filter((fault) => fault !== undefined)
    return said.length === 0 ? undefined : said.join(' ')
  }

  /** What may be meant, but is worth a look. */
  warningAt(pointer: string): string | undefined {
    return this.#at(pointer, 'warning')
  }

  /** Tells whether something may be said of this member. */
  isHeard(pointer: string): boolean {
    return !this.#isQuiet(pointer)
  }

  #isQuiet(pointer: string): boolean {
    const isIn = (part: string): boolean => pointer === part || pointer.startsWith(`${part}/`)
    return this.#quiet !== null && isIn(this.#quiet) && ![...this.#left].some(isIn)
  }

  #at(pointer: string, severity: FormProblem['severity']): string | undefined {
    const found = this.problems.filter((each) => each.pointer === pointer && each.severity === severity)
    return found.length === 0 ? undefined : found.map(({ message }) => message).join(' ')
  }
}

const KEY = Symbol('form')

export function provideForm(): FormState {
  return setContext(KEY, new FormState())
}

export function useForm(): FormState {
  return getContext(KEY)
}

/** A member's own step in a JSON pointer. */
export function pointerTo(pointer: string, member: string | number): string {
  return `${pointer}/${String(member).replaceAll('~', '~0').replaceAll('/', '~1')}`
}
