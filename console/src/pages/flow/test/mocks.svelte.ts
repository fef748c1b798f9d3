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

/** As the API names a mock. @param item of a loop, from 0; empty: all that have none of their own */
export function mockKey(step: string, item: string): string {
  return item === '' ? step : `${step}:${item}`
}

export function partsOfKey(key: string): { step: string; item: string } {
  const [step = '', item = ''] = key.split(':')
  return { step, item }
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

  /** @param key see `mockKey` */
  of(key: string): Mock | undefined {
    return Object.hasOwn(this.#all, key) ? this.#all[key] : undefined
  }

  /** The items of a loop for which a step of its body has mocks of their own. */
  itemsOf(step: string): string[] {
    return Object.keys(this.#all).flatMap((key) => (key.startsWith(`${step}:`) ? partsOfKey(key).item : []))
  }

  /** Null: what the step comes to is made up. */
  set(key: string, mock: Mock | null): void {
    const others = Object.entries(this.#all).filter(([each]) => each !== key)
    this.#keep(Object.fromEntries(mock === null ? others : [...others, [key, mock]]))
  }

  /** The step got another id. */
  move(from: string, to: string): void {
    this.#map((step) => (step === from ? to : step))
  }

  /** What was said for steps that had these ids before is not meant for those that have them now. */
  forget(steps: readonly string[]): void {
    this.#map((step) => (steps.includes(step) ? null : step))
  }

  #map(change: (step: string) => string | null): void {
    const entries = Object.entries(this.#all).flatMap(([key, mock]) => {
      const { step, item } = partsOfKey(key)
      const to = change(step)
      return to === null ? [] : ([[mockKey(to, item), mock]] as const)
    })
    if (entries.some(([key], at) => key !== Object.keys(this.#all)[at]) || entries.length < this.count)
      this.#keep(Object.fromEntries(entries))
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
