import { portLabel } from '../canvas/labels.ts'
import type { CanvasState } from '../canvas/state.svelte.ts'
import { targetOf, type Way } from '../flow/commands/parts.ts'
import { END, hasBody } from '../flow/graph.ts'
import { words } from '../i18n/words.svelte.ts'
import { toasts } from '../kit/toasts.svelte.ts'
import type { Editor } from './editor.svelte.ts'
import { isOnFlow } from './keys.ts'

const w = words({
  en: {
    end: 'the end',
    aimed: (way: string, from: string, to: string) => `“${way}” of ${from} → ${to}`,
    none: 'Nothing can follow this step.',
    given: 'Nothing was led elsewhere.',
  },
  de: {
    end: 'Ende',
    aimed: (way: string, from: string, to: string) => `„${way}“ von ${from} → ${to}`,
    none: 'Diesem Schritt kann nichts folgen.',
    given: 'Es wurde nichts anderswohin geführt.',
  },
})

/** Leads a way elsewhere by keys: arrows choose which way and where to, Enter does it, Escape does nothing. */
export class Aiming {
  readonly #editor: Editor
  readonly #canvas: CanvasState

  constructor(editor: Editor, canvas: CanvasState) {
    this.#editor = editor
    this.#canvas = canvas
  }

  begin(id: string): void {
    const [way] = this.#waysOf(id)
    if (way === undefined) toasts.add(w.none, 'bad')
    else this.#aim(way)
  }

  /** Tells whether the key was meant for it: what is pressed in a form or a menu is not. */
  byKey(event: KeyboardEvent): boolean {
    const { aimed } = this.#canvas
    const { key, target, ctrlKey, metaKey, altKey, shiftKey, defaultPrevented } = event
    const isOther = defaultPrevented || ctrlKey || metaKey || altKey || shiftKey
    if (aimed === null || isOther || !(target instanceof Element) || !isOnFlow(target)) return false
    const ways = this.#waysOf(aimed.way.from)
    const at = ways.findIndex(({ port }) => port === aimed.way.port)
    const targets = this.#targets()
    const now = targets.indexOf(aimed.to)
    const beside = <T>(list: readonly T[], index: number): T | undefined =>
      list.at((index + list.length) % list.length)
    if (key === 'ArrowDown') this.#point(beside(targets, now + 1))
    else if (key === 'ArrowUp') this.#point(beside(targets, now - 1))
    else if (key === 'ArrowRight') this.#aim(beside(ways, at + 1) ?? aimed.way)
    else if (key === 'ArrowLeft') this.#aim(beside(ways, at - 1) ?? aimed.way)
    else if (key === 'Enter') this.#lead()
    else if (key === 'Escape') this.stop()
    else return false
    return true
  }

  stop(): void {
    if (this.#canvas.aimed === null) return
    this.#canvas.aimed = null
    this.#editor.said = w.given
  }

  /** What Enter would do, for people. */
  text({ way, to }: { way: Way; to: string }): string {
    const { steps } = this.#editor.graph
    const name = (id: string): string => (id === END ? w.end : (steps.get(id)?.name ?? id))
    return w.aimed(portLabel(way.port), name(way.from), name(to))
  }

  #waysOf(from: string): Way[] {
    const step = this.#editor.graph.steps.get(from)
    if (step === undefined) return []
    const ports = [...step.ports, ...(hasBody(step.type) ? ['body'] : [])]
    return ports.map((port) => ({ from, port }))
  }

  /** The end first, then the steps in the order of the flow. */
  #targets(): string[] {
    const reasons = this.#canvas.reasons ?? new Map<string, string | null>()
    return [END, ...[...this.#editor.graph.steps.keys()].filter((id) => reasons.get(id) === null)]
  }

  #aim(way: Way): void {
    this.#canvas.aimed = { way, to: END }
    this.#point(targetOf(this.#editor.document, way) ?? END)
  }

  #point(to: string | undefined): void {
    const { aimed } = this.#canvas
    if (aimed === null || to === undefined) return
    const next = { way: aimed.way, to }
    this.#canvas.aimed = next
    this.#editor.said = this.text(next)
  }

  #lead(): void {
    const { aimed, editing } = this.#canvas
    this.#canvas.aimed = null
    if (aimed !== null) editing?.connect(aimed.way, aimed.to)
  }
}
