import { defineTemplate } from '../template.ts'
import { tellOf, TROUBLE } from '../trouble.ts'

export const flowTrouble = defineTemplate({
  id: 'flow_trouble',
  title: 'Tell of trouble with flows',
  description:
    'Writes to somebody of the shop when a flow keeps failing or was paused: once, until it is well again.',
  category: 'operations',
  parameters: { to: TROUBLE.to, subject: TROUBLE.subject('Trouble with {{trigger.flow}}') },
  build: (values) => tellOf(['flow.failing', 'flow.paused'], values),
})
