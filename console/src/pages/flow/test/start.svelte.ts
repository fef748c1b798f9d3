import type { Schema } from '../../../api/client.ts'
import { keepEvent, keptEvent } from '../../../flow/kept.ts'
import { localTime } from '../../replays/selection.ts'
import { router } from '../../../router.svelte.ts'

type Source = 'sample' | 'own' | 'event'

/** What a test begins with. The past event is the one with which the builder shows the flow, too. */
export class TestStart {
  readonly #flow: string
  /** `draft`, or the number of a version. */
  which = $state('draft')
  /** The id of the only trigger that counts; empty: any. */
  trigger = $state('')
  text = $state('{}')
  data = $state.raw<unknown>()
  startsAnyway = $state(false)
  /** As the browser's field has it, in its own time zone; empty: now. */
  at = $state('')
  #eventId = $state('')
  #source = $state<Source>('sample')

  constructor(flow: string) {
    this.#flow = flow
    this.#eventId = router.query.get('event') ?? keptEvent(flow)
    if (this.#eventId !== '') this.#source = 'event'
  }

  get source(): Source {
    return this.#source
  }

  set source(source: Source) {
    this.#source = source
    this.#keep()
  }

  get eventId(): string {
    return this.#eventId
  }

  set eventId(id: string) {
    this.#eventId = id
    this.#keep()
  }

  get isReady(): boolean {
    if (this.#source === 'own') return this.data !== undefined
    return this.#source === 'sample' || this.#eventId !== ''
  }

  get version(): number | null {
    return this.which === 'draft' ? null : Number(this.which)
  }

  get request(): Schema['FlowTestRequest'] {
    return {
      start_anyway: this.startsAnyway,
      ...(this.at !== '' && { now: new Date(this.at).toISOString() }),
      ...(this.version !== null && { version: this.version }),
      ...(this.trigger !== '' && { trigger: this.trigger }),
      ...(this.#source === 'own' && { data: this.data }),
      ...(this.#source === 'event' && { event_id: this.#eventId }),
    }
  }

  /** Takes over what was asked of a past event. */
  show({
    event_id: event = '',
    version,
    now,
    start_anyway: anyway = false,
  }: Schema['FlowTestRequest']): void {
    this.source = 'event'
    this.eventId = event
    this.which = version === undefined ? 'draft' : String(version)
    this.trigger = ''
    this.startsAnyway = anyway
    this.at = now === undefined ? '' : localTime(now)
  }

  #keep(): void {
    if (this.#source !== 'own') keepEvent(this.#flow, this.#source === 'event' ? this.#eventId : '')
  }
}
