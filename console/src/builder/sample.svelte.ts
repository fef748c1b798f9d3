import type { CatalogueFacts } from '../../../src/lib/flow/index.ts'
import { parsePath, readPath } from '../../../src/lib/json/path.ts'
import { keepEvent, keptEvent } from '../flow/kept.ts'
import type { ScopeEntry } from '../forms/form-state.svelte.ts'
import { type PastEvent, pastEventQuery } from '../forms/past-events.ts'

/** The past event whose values expressions are shown with; without one they are the catalogue's samples. */
export class BuilderSample {
  readonly #flow: string
  #id = $state('')
  readonly #query: ReturnType<typeof pastEventQuery>

  constructor(flow: string) {
    this.#flow = flow
    this.#id = keptEvent(flow)
    this.#query = pastEventQuery(() => this.#id)
  }

  get id(): string {
    return this.#id
  }

  get event(): PastEvent | null {
    const { data } = this.#query
    return this.#id === '' || data === undefined || data.body_gone != null ? null : data
  }

  /** Empty: the catalogue's samples. */
  choose(id: string): void {
    this.#id = id
    keepEvent(this.#flow, id)
  }

  /** The catalogue as if the event were its only sample: so its members are known, and the items of its lists. */
  factsWith(facts: CatalogueFacts): CatalogueFacts {
    const { event } = this
    if (event === null) return facts
    const eventTypes = facts.eventTypes.map((type) => {
      return { ...type, sample: type.name === event.event ? event.data : undefined }
    })
    return { ...facts, eventTypes }
  }

  scopeWith(scope: readonly ScopeEntry[]): readonly ScopeEntry[] {
    const { event } = this
    if (event === null) return scope
    const { id, event: type, timestamp, publisher_plugin_id: plugin, data } = event
    const values = { trigger: data, event: { id, type, timestamp, source: plugin ?? 'platform', data } }
    return scope.map((entry) => {
      if (entry.group !== 'trigger' && entry.group !== 'event') return entry
      return { ...entry, sample: readPath(values, parsePath(entry.path) ?? ['']) }
    })
  }
}
