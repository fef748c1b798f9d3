import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { isStepId } from '../ids.ts'
import type { Path, ProblemList } from '../problems.ts'
import { findDefinition } from '../steps/index.ts'
import type { FlowSource, Part } from './source.ts'

/** A step as it was found, before its type is looked at. */
export interface StepDraft {
  id: string
  members: Record<string, unknown>
  path: Path
  isHandler: boolean
  /** The steps that follow in the same list, next one first. */
  siblings: readonly string[]
  position: number
  /** The loop in whose `body` list it was written. */
  bodyOf: string | null
}

const MAX_STEPS = 500

interface List {
  parts: readonly Part[]
  isHandler: boolean
  bodyOf: string | null
}

/** Collects all steps in the order in which they were written, those of body lists after their loop. */
export function collectSteps(source: FlowSource, problems: ProblemList): StepDraft[] {
  const drafts = new Map<string, StepDraft>()
  const lists: List[] = [
    { parts: source.handlers, isHandler: true, bodyOf: null },
    { parts: source.steps, isHandler: false, bodyOf: null },
  ]
  let count = 0
  for (let list = lists.pop(); list; list = lists.pop()) {
    count += list.parts.length
    if (count > MAX_STEPS) {
      const path = list.parts[0]?.path.slice(0, -1) ?? []
      const message = `Use at most ${MAX_STEPS} steps and handlers: split the flow, and start one by another's event.`
      problems.report('too_many_steps', path, message, null)
      return [...drafts.values()]
    }
    const siblings: string[] = []
    for (const part of list.parts) {
      const draft = toDraft(part, list, siblings, drafts, problems)
      if (!draft) continue
      siblings.push(draft.id)
      drafts.set(draft.id, draft)
      const body = list.bodyOf === null ? bodyList(draft.members) : null
      if (body === null) continue
      const parts = body.map((value, index) => ({ value, path: [...part.path, 'body', index] }))
      lists.push({ parts, isHandler: false, bodyOf: draft.id })
    }
  }
  return [...drafts.values()]
}

/** Returns the steps that are written inside of a step; null: none are. */
export function bodyList(members: Record<string, unknown>): unknown[] | null {
  return findDefinition(members['type'])?.body?.steps(members) ?? null
}

function toDraft(
  { value, path }: Part,
  { isHandler, bodyOf }: List,
  siblings: readonly string[],
  drafts: ReadonlyMap<string, StepDraft>,
  problems: ProblemList,
): StepDraft | null {
  if (!isPlainObject(value)) {
    problems.report('malformed', path, 'Write a step as { "id", "type", … }.', null)
    return null
  }
  const { id } = value
  if (!isStepId(id)) {
    const message =
      'Give the step an id of up to 64 lower-case letters, digits and _, that starts with a letter and is not "end".'
    problems.report('invalid_id', [...path, 'id'], message, null)
    return null
  }
  if (drafts.has(id)) {
    const message = `Rename the step: "${id}" is taken, and steps and handlers share their names.`
    problems.report('duplicate_id', [...path, 'id'], message, id)
    return null
  }
  return { id, members: value, path, isHandler, siblings, position: siblings.length, bodyOf }
}

/** Returns the id of the next step in the same list. */
export function followingOf(draft: StepDraft): string | null {
  return draft.siblings[draft.position + 1] ?? null
}
