import { api, ask, type Schema } from '../api/client.ts'
import { type ApiProblem, toProblem } from '../api/problem.ts'
import { queryClient } from '../api/queries.ts'
import {
  type Command,
  type FlowDocument,
  graphOf,
  isLinearFormat,
  openDocument,
  writeDocument,
} from '../flow/document.ts'
import { EditHistory } from '../flow/history.svelte.ts'
import { packHistory, unpackHistory } from '../flow/kept-history.ts'
import { HISTORY, keep, readKept } from '../flow/kept.ts'
import { replaceFlow } from '../pages/flows/actions.ts'
import { registerDraft } from './drafts.ts'

type Flow = Schema['Flow']

/** The draft of a flow while it is edited: its history, and what of it is saved. */
export class Editor {
  readonly history: EditHistory
  /** As the service had it last. */
  flow: Flow
  isSaving = $state(false)
  error = $state.raw<ApiProblem | null>(null)
  /** What somebody else has saved meanwhile. */
  theirs = $state.raw<Flow | null>(null)
  /** The step or trigger that was added last, while nothing else was looked at: it is still being filled in. */
  fresh = $state<string | null>(null)
  /** What was done last, for those who do not see it. */
  said = $state('')
  /** The last save made a graph of it. */
  isConverted = $state(false)
  #saved: FlowDocument
  #underWay: Promise<void> | null = null

  constructor(flow: Flow) {
    this.flow = $state.raw(flow)
    const document = openDocument(flow.definition)
    this.#saved = $state.raw(document)
    this.history = new EditHistory(document, unpackHistory(readKept(HISTORY, flow.id), document))
  }

  /** So that what was done can be undone when the draft is opened again in this tab of the browser. */
  keepHistory(): void {
    keep(HISTORY, this.flow.id, packHistory(this.history.all))
  }

  get document(): FlowDocument {
    return this.history.document
  }

  get graph() {
    return graphOf(this.history.document)
  }

  get isDirty(): boolean {
    return this.history.document !== this.#saved
  }

  /** Saving it makes a graph of a flow that came in the linear format: until then, undoing leaves it as it is. */
  get isConverting(): boolean {
    return this.isDirty && isLinearFormat(this.flow.definition)
  }

  /** What is edited would be lost: it could not be saved, or somebody else has saved meanwhile. */
  get isStuck(): boolean {
    return this.isDirty && (this.error !== null || this.theirs !== null)
  }

  /** It was not saved for a reason that passes: the network, or the service. */
  get isToRetry(): boolean {
    const status = this.error?.status
    const passes = status !== undefined && (status === 0 || status === 429 || status >= 500)
    return this.isDirty && this.theirs === null && passes
  }

  /** Tells whether it changed anything. @param key edits of one field that follow one another are one */
  do(label: string, command: Command, key?: string): boolean {
    const isDone = this.history.do(label, command, key)
    if (isDone && key === undefined) this.said = label
    return isDone
  }

  /** Saves what is not saved, once what is being saved is done. What somebody else has saved is never overwritten. */
  async save(): Promise<void> {
    while (this.#underWay !== null) await this.#underWay
    if (!this.isDirty || this.theirs !== null) return
    this.#underWay = this.#send()
    await this.#underWay
  }

  async #send(): Promise<void> {
    const { document } = this
    this.isSaving = true
    try {
      this.#take(await replaceFlow(this.flow, writeDocument(document) as Schema['FlowDefinition']), document)
    } catch (caught) {
      this.error = toProblem(caught)
      if (this.error.code === 'flow_changed') await this.#meet()
    } finally {
      this.isSaving = false
      this.#underWay = null
    }
  }

  #take(flow: Flow, document: FlowDocument): void {
    this.isConverted = isLinearFormat(this.flow.definition)
    this.flow = flow
    this.#saved = document
    this.error = null
    queryClient.setQueryData(['flow', flow.id], flow)
  }

  async #meet(): Promise<void> {
    const { id } = this.flow
    try {
      this.theirs = await ask(api.GET('/api/automation/flows/{id}', { params: { path: { id } } }))
    } catch (caught) {
      this.error = toProblem(caught)
    }
  }

  /** Takes in what the service has: it may have been published, or changed elsewhere. */
  adopt(flow: Flow): void {
    if (this.isSaving || flow.revision <= this.flow.revision) return
    const isSame = JSON.stringify(flow.definition) === JSON.stringify(this.flow.definition)
    if (isSame) this.flow = flow
    else if (this.isDirty) this.theirs = flow
    else this.#open(flow)
  }

  takeTheirs(): void {
    if (this.theirs !== null) this.#open(this.theirs)
  }

  async keepMine(): Promise<void> {
    if (this.theirs === null) return
    this.flow = this.theirs
    this.theirs = null
    this.error = null
    await this.save()
  }

  #open(flow: Flow): void {
    const document = openDocument(flow.definition)
    this.flow = flow
    this.#saved = document
    this.isConverted = false
    this.theirs = null
    this.error = null
    this.history.reset(document)
    queryClient.setQueryData(['flow', flow.id], flow)
  }

  /** Who publishes the flow waits for its draft. Returns what ends that. */
  register(): () => void {
    return registerDraft(this.flow.id, async () => {
      this.fresh = null
      await this.save()
      if (this.error !== null) throw this.error
      return this.flow
    })
  }
}
