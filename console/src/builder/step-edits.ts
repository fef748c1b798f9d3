import { readJson } from '../api/client.ts'
import { portLabel, typeLabel } from '../canvas/labels.ts'
import { connect } from '../flow/commands/connect.ts'
import { copySteps, duplicateSteps, pasteSteps, readClip } from '../flow/commands/copy.ts'
import { addHandler } from '../flow/commands/handlers.ts'
import { freshStep, idFor, insertStep, type Place } from '../flow/commands/insert.ts'
import { type moveDown, moveStep, type moveUp } from '../flow/commands/move.ts'
import type { Way } from '../flow/commands/parts.ts'
import { placeSteps, tidy } from '../flow/commands/positions.ts'
import { removeSteps } from '../flow/commands/remove.ts'
import { changeStepId } from '../flow/commands/rename.ts'
import { replaceStep } from '../flow/commands/replace.ts'
import { fillStep } from '../flow/commands/update.ts'
import type { Command, Point } from '../flow/document.ts'
import type { FlowStep, Members } from '../flow/graph.ts'
import { number } from '../i18n/format.ts'
import { words } from '../i18n/words.svelte.ts'
import { toasts } from '../kit/toasts.svelte.ts'
import { MockSet } from '../pages/flow/test/mocks.svelte.ts'
import type { Editor } from './editor.svelte.ts'
import { placesAt } from './places.ts'

const w = words({
  en: {
    inserted: (step: string) => `Insert ${step}`,
    deleted: (step: string) => `Delete ${step}`,
    moved: (step: string) => `Move ${step}`,
    led: (step: string, port: string) => `Change where “${port}” of ${step} leads`,
    duplicated: (step: string) => `Duplicate ${step}`,
    copied: (step: string) => `Copied: ${step}`,
    cut: (step: string) => `Cut ${step}`,
    pasted: (count: number) => (count === 1 ? 'Paste a step' : `Paste ${count} steps`),
    replaced: (step: string, type: string) => `Replace ${step} by ${type}`,
    idChanged: (from: string, to: string) => `Change the id ${from} to ${to}`,
    handled: (step: string) => `Add a handler for ${step}`,
    several: (count: number) => `${number(count)} steps`,
    placed: (what: string) => `Place ${what}`,
    tidied: 'Tidy the cards',
    isTidy: 'All cards stand where they are laid out.',
    loose: (step: string) =>
      `${step} stands by itself. Draw a way to it from the dot below a card, or press C on the step that is to lead there.`,
    undone: (what: string) => `Undone: ${what}`,
    redone: (what: string) => `Done again: ${what}`,
    notThere: 'A step cannot stand there.',
    notBehind: (step: string) => `Nothing can stand behind ${step}.`,
    notReplaced: 'That cannot stand in place of this step.',
    notDeleted: 'This step cannot be deleted: what follows it would have no place.',
    noSteps: 'There are no steps on the clipboard.',
  },
  de: {
    inserted: (step: string) => `${step} einfügen`,
    deleted: (step: string) => `${step} löschen`,
    moved: (step: string) => `${step} bewegen`,
    led: (step: string, port: string) => `Ändern, wohin „${port}“ von ${step} führt`,
    duplicated: (step: string) => `${step} duplizieren`,
    copied: (step: string) => `Kopiert: ${step}`,
    cut: (step: string) => `${step} ausschneiden`,
    pasted: (count: number) => (count === 1 ? 'Einen Schritt einfügen' : `${count} Schritte einfügen`),
    replaced: (step: string, type: string) => `${step} ersetzen durch ${type}`,
    idChanged: (from: string, to: string) => `Kennung ${from} in ${to} ändern`,
    handled: (step: string) => `Fehlerpfad für ${step} hinzufügen`,
    several: (count: number) => `${number(count)} Schritte`,
    placed: (what: string) => `${what} an einen Platz stellen`,
    tidied: 'Karten ordnen',
    isTidy: 'Alle Karten stehen, wie sie geordnet werden.',
    loose: (step: string) =>
      `${step} steht für sich. Ziehe vom Punkt unter einer Karte einen Weg dorthin, oder drücke C auf dem Schritt, der dorthin führen soll.`,
    undone: (what: string) => `Zurückgenommen: ${what}`,
    redone: (what: string) => `Wiederholt: ${what}`,
    notThere: 'Dort kann kein Schritt stehen.',
    notBehind: (step: string) => `Hinter ${step} kann nichts stehen.`,
    notReplaced: 'Das kann nicht an der Stelle dieses Schritts stehen.',
    notDeleted: 'Dieser Schritt kann nicht gelöscht werden: was ihm folgt, hätte keinen Platz.',
    noSteps: 'In der Zwischenablage sind keine Schritte.',
  },
})

/** What the page does around an edit. */
interface View {
  selected: () => string | null
  /** All that are selected; of several none is `selected`. */
  marked: () => readonly string[]
  mark: (ids: readonly string[]) => void
  select: (id: string | null) => void
  focusForm: () => Promise<void>
  focusFlow: () => Promise<void>
  /** What a new step of a type begins with, beside what is the same in all flows. */
  prefill: (type: string) => Members
  /** The compiler has said what there is to begin with. */
  isPrefillKnown: () => boolean
}

/** What can be done with the step that is selected: each one edit, said to those who do not see it. */
export class StepEdits {
  readonly #editor: Editor
  readonly #view: View
  /** Steps that began before it was known with what, by type. */
  readonly #unfilled = new Map<string, string>()

  constructor(editor: Editor, view: View) {
    this.#editor = editor
    this.#view = view
  }

  get #step(): FlowStep | undefined {
    return this.#editor.graph.steps.get(this.#view.selected() ?? '')
  }

  /** What is selected, for people. */
  #nameOf(ids: readonly string[]): string {
    const [id, second] = ids
    const step = this.#editor.graph.steps.get(id ?? '')
    return second === undefined && step !== undefined ? step.name : w.several(ids.length)
  }

  async insert(type: string, members: Members, place: Place): Promise<void> {
    const id = this.#idFor(type, members)
    const isDone = this.#editor.do(
      w.inserted(typeLabel(type)),
      insertStep(place, freshStep(type, id, this.#prefilled(id, type, members))),
    )
    const isLoose = place.at === 'ground' && this.#editor.graph.start !== id
    if (isDone && isLoose) toasts.add(w.loose(typeLabel(type)))
    await this.#begin(isDone, id)
  }

  /** Tells whether a step may be put there: a new one, or one of the flow. */
  mayStand(what: { id: string } | { type: string; members: Members }, place: Place): boolean {
    const { document } = this.#editor
    const command =
      'id' in what
        ? moveStep(what.id, place)
        : insertStep(place, freshStep(what.type, this.#idFor(what.type, what.members), what.members))
    return command(document) !== document
  }

  /** Puts a step of the flow elsewhere in it. */
  moveTo(id: string, place: Place): void {
    if (this.#editor.do(w.moved(this.#nameOf([id])), moveStep(id, place))) this.#view.select(id)
    else toasts.add(w.notThere, 'bad')
  }

  /** Says where cards stand. Steps of keys that follow one another closely are one edit. */
  place(places: ReadonlyMap<string, Point>): void {
    const ids = [...places.keys()]
    const label = w.placed(this.#nameOf(ids))
    if (this.#editor.do(label, placeSteps(places), `place ${ids.join(' ')}`)) this.#editor.said = label
  }

  tidy(): void {
    if (!this.#editor.do(w.tidied, tidy())) toasts.add(w.isTidy)
  }

  /** @param of the step whose errors it takes up */
  async addHandler(of: FlowStep, type: string, members: Members): Promise<void> {
    const id = this.#idFor(type, members)
    const isDone = this.#editor.do(
      w.handled(of.name),
      addHandler(of.id, freshStep(type, id, this.#prefilled(id, type, members))),
    )
    await this.#begin(isDone, id)
  }

  async replace(step: FlowStep, type: string, members: Members): Promise<void> {
    const isDone = this.#editor.do(
      w.replaced(step.name, typeLabel(type)),
      replaceStep(step.id, type, this.#prefilled(step.id, type, members)),
    )
    if (isDone) await this.#view.focusForm()
    else toasts.add(w.notReplaced, 'bad')
  }

  /** Gives steps that were added before it was known what they would have begun with: wherever they are still empty. */
  fillLate(): void {
    for (const [id, type] of this.#unfilled) {
      this.#editor.history.amend(fillStep(id, type, this.#view.prefill(type)))
    }
    this.#unfilled.clear()
  }

  async remove(): Promise<void> {
    const ids = this.#view.marked()
    if (ids.length > 0) await this.#takeAway(ids, w.deleted(this.#nameOf(ids)))
  }

  move(by: typeof moveUp | typeof moveDown): void {
    const step = this.#step
    if (step !== undefined) this.#editor.do(w.moved(step.name), by(step.id))
  }

  /** Leads a way of any step elsewhere. */
  connect(way: Way, to: string): void {
    const name = this.#editor.graph.steps.get(way.from)?.name ?? way.from
    this.#editor.do(w.led(name, portLabel(way.port)), connect(way, to))
  }

  async duplicate(): Promise<void> {
    const ids = this.#view.marked()
    if (ids.length === 0) return
    const name = this.#nameOf(ids)
    await this.#add(w.duplicated(name), duplicateSteps(ids), w.notBehind(name))
  }

  /** What goes on the clipboard; null: no step is selected. */
  copy(): string | null {
    const ids = this.#view.marked()
    if (ids.length === 0) return null
    // Nothing else is seen of it.
    toasts.add(w.copied(this.#nameOf(ids)))
    return copySteps(this.#editor.document, ids)
  }

  /** The same, and takes the steps away. */
  cut(): string | null {
    const ids = this.#view.marked()
    if (ids.length === 0) return null
    const text = copySteps(this.#editor.document, ids)
    void this.#takeAway(ids, w.cut(this.#nameOf(ids)))
    return text
  }

  /** Behind the step that is selected, else at the end. */
  async paste(text: string | null): Promise<void> {
    const clip = readClip(text ?? '', readJson)
    if (clip === null) {
      toasts.add(w.noSteps, 'bad')
      return
    }
    const step = this.#step
    const [end] = placesAt(this.#editor.document, null)
    const place = step === undefined ? (end?.place ?? null) : ({ at: 'after', step: step.id } as const)
    const why = step === undefined ? w.notThere : w.notBehind(step.name)
    await this.#add(w.pasted(clip.steps.length), pasteSteps(clip, place), why)
  }

  /** Tells whether it was changed, wherever it is read as well. */
  changeId(from: string, to: string): boolean {
    const isDone = this.#editor.do(w.idChanged(from, to), changeStepId(from, to))
    if (isDone) {
      this.#mocks.move(from, to)
      this.#view.select(to)
    }
    return isDone
  }

  undo(): void {
    const { history } = this.#editor
    const what = history.undoLabel
    if (what === null) return
    this.#keepSelected(() => history.undo())
    this.#editor.said = w.undone(what)
  }

  redo(): void {
    const { history } = this.#editor
    const what = history.redoLabel
    if (what === null) return
    this.#keepSelected(() => history.redo())
    this.#editor.said = w.redone(what)
  }

  /** As this tab keeps them for the flow. */
  get #mocks(): MockSet {
    return new MockSet(this.#editor.flow.id)
  }

  /** A step that only gets another id stays selected, and keeps its mocks. */
  #keepSelected(step: () => void): void {
    const before = [...this.#editor.graph.steps.keys()]
    step()
    const after = [...this.#editor.graph.steps.keys()]
    if (after.length !== before.length) return
    const [changed, ...others] = before.filter((id) => !after.includes(id))
    if (changed === undefined || others.length > 0) return
    const to = after[before.indexOf(changed)] ?? changed
    this.#mocks.move(changed, to)
    if (this.#view.selected() === changed) this.#view.select(to)
  }

  #idFor(type: string, { action_type: action }: Members): string {
    return idFor(typeof action === 'string' ? action : type, this.#editor.document)
  }

  #prefilled(id: string, type: string, members: Members): Members {
    if (!this.#view.isPrefillKnown()) this.#unfilled.set(id, type)
    return { ...this.#view.prefill(type), ...members }
  }

  async #begin(isDone: boolean, id: string): Promise<void> {
    if (!isDone) {
      toasts.add(w.notThere, 'bad')
      return
    }
    this.#mocks.forget([id])
    this.#editor.fresh = id
    this.#view.select(id)
    await this.#view.focusForm()
  }

  async #add(label: string, command: Command, why: string): Promise<void> {
    const before = this.#editor.graph.steps
    if (!this.#editor.do(label, command)) {
      toasts.add(why, 'bad')
      return
    }
    const { steps } = this.#editor.graph
    const added = [...steps.values()].filter(({ id }) => !before.has(id))
    this.#mocks.forget(added.map(({ id }) => id))
    // What stands in a loop that came along is not meant.
    const ids = added.flatMap(({ id, loop }) => (loop === null || before.has(loop) ? id : []))
    this.#view.mark(ids)
    await this.#view.focusFlow()
  }

  async #takeAway(ids: readonly string[], label: string): Promise<void> {
    const gone = new Set(ids)
    const { edges } = this.#editor.graph
    const leading = edges.find(({ from, to }) => gone.has(to) && !gone.has(from))?.from
    if (!this.#editor.do(label, removeSteps(ids))) {
      toasts.add(w.notDeleted, 'bad')
      return
    }
    const { graph } = this.#editor
    this.#view.select(leading !== undefined && graph.steps.has(leading) ? leading : graph.start)
    await this.#view.focusFlow()
  }
}
