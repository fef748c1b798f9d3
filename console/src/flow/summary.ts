import type { FlowStep, FlowTrigger } from './graph.ts'
import { stepType } from './step-types.ts'
import { text } from './texts.ts'

const LONGEST = 80

/** What a step does, in the words of its definition: short enough for a card. Empty: its type says it all. */
export function summaryOf({ type, members }: FlowStep): string {
  return shorten(stepType(type)?.summary(members) ?? '')
}

export function triggerSummary({ members }: FlowTrigger): string {
  const types = members['event_types'] ?? members['event_type']
  return shorten(text(types) || text(members['cron']))
}

function shorten(value: string): string {
  return value.length > LONGEST ? `${value.slice(0, LONGEST - 1)}…` : value
}
