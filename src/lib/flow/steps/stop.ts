import type { StepBase, TemplateText } from '../elements.ts'
import type { Reader } from '../read/reader.ts'
import { readChoice } from '../read/reader.ts'
import { readTemplateText } from '../read/template.ts'
import { type DefinitionOf, USUAL } from './definition.ts'

const OUTCOMES = ['done', 'filtered', 'stopped', 'failed'] as const

type StopOutcome = (typeof OUTCOMES)[number]
export type StopStep = StepBase<'stop', { outcome: StopOutcome; reason: TemplateText | null }, never>

export const stopStep: DefinitionOf<StopStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Ends the flow here.',
    properties: {
      outcome: { type: 'string', enum: [...OUTCOMES], default: 'stopped' },
      reason: { type: 'string', description: 'Stands in the log.' },
    },
    examples: [{ type: 'stop', outcome: 'done', reason: 'Order {{trigger.number}} is done' }],
  },
  read: readStop,
  ports: () => [],
  goesOn: [],
  calls: false,
  causes: 'nothing',
}

function readStop(reader: Reader): { outcome: StopOutcome; reason: TemplateText | null } {
  return {
    outcome: readChoice(reader, 'outcome', OUTCOMES, 'stopped'),
    reason: readTemplateText(reader, 'reason'),
  }
}
