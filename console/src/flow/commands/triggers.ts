import type { Command } from '../document.ts'
import { isObject, type Members } from '../graph.ts'
import { freshId } from '../ids.ts'
import { editTriggers } from './update.ts'

const MAX_TRIGGERS = 10
const FRESH: Readonly<Record<string, Members>> = {
  event: { event_types: [] },
  schedule: { cron: '0 9 * * *' },
  manual: {},
  webhook: {},
}

/** Adds a way of starting the flow, with what its type begins with. Ten are as many as a flow may have. */
export function addTrigger(type: string, members: Members = {}): Command {
  return (document) =>
    editTriggers(document, (triggers) => {
      if (triggers.length >= MAX_TRIGGERS) return triggers
      const id = freshId('trigger', idsOf(triggers))
      return [...triggers, { id, type, ...FRESH[type], ...members }]
    })
}

export function removeTrigger(id: string): Command {
  return (document) => editTriggers(document, (triggers) => triggers.filter((each) => !isCalled(each, id)))
}

function isCalled(trigger: unknown, id: string): boolean {
  return isObject(trigger) && trigger['id'] === id
}

function idsOf(triggers: readonly unknown[]): Set<string> {
  return new Set(
    triggers.flatMap((each) => (isObject(each) && typeof each['id'] === 'string' ? each['id'] : [])),
  )
}
