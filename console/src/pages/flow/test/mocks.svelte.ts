import type { Schema } from '../../../api/client.ts'
import { isObject } from '../../../flow/graph.ts'
import { keep, readKept } from '../../../flow/kept.ts'
import { stepType } from '../../../flow/step-types.ts'

/** Stands in for what the outside would say to a step. */
export type Mock = Exclude<NonNullable<Schema['FlowTestRequest']['mocks']>[string], readonly unknown[]>
export type MockKind = 'made_up' | 'output' | 'error' | 'event'

const KEPT = 'mocks'

/** What may be said in place of the outside; empty: the step asks nobody. */
export function mockKinds(type: string): readonly MockKind[] {
  if (type === 'wait_event') return ['made_up', 'event']
  return stepType(type)?.calls === true ? ['made_up', 'output', 'error'] : []
}

export function kindOfMock(mock: Mock | undefined): MockKind {
  if (mock === undefined) return 'made_up'
  if (mock.error !== undefined) return 'error'
  return mock.event === undefined ? 'output' : 'event'
}

/** The mocks of a flow, by step: what is tried out stays in this tab of the browser, also when the page is loaded anew. */
export class MockSet {
  readonly #flow: string
  #all = $state.raw<Readonly<Record<string, Mock>>>({})

  constructor(flow: string) {
    this.#flow = flow
    const kept = readKept(KEPT, flow)
    if (isObject(kept)) this.#all = Object.fromEntries(Object.entries(kept).filter(isMock))
  }

  get all(): Readonly<Record<string, Mock>> {
    return this.#all
  }

  get count(): number {
    return Object.keys(this.#all).length
  }

  of(step: string): Mock | undefined {
    return Object.hasOwn(this.#all, step) ? this.#all[step] : undefined
  }

  /** Null: what the step comes to is made up. */
  set(step: string, mock: Mock | null): void {
    const others = Object.entries(this.#all).filter(([each]) => each !== step)
    this.#keep(Object.fromEntries(mock === null ? others : [...others, [step, mock]]))
  }

  clear(): void {
    this.#keep({})
  }

  #keep(all: Readonly<Record<string, Mock>>): void {
    this.#all = all
    keep(KEPT, this.#flow, Object.keys(all).length === 0 ? undefined : all)
  }
}

function isMock(entry: [string, unknown]): entry is [string, Mock] {
  const [, mock] = entry
  return isObject(mock) && ['output', 'error', 'event'].some((part) => Object.hasOwn(mock, part))
}
