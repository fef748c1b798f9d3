import { defineTemplate } from '../template.ts'
import { tellOf, TROUBLE } from '../trouble.ts'

export const pluginTrouble = defineTemplate({
  id: 'plugin_trouble',
  title: 'Tell of trouble with plugins',
  description:
    'Writes to somebody of the shop when a plugin fails, is about to be disabled or is, or gets its events late: once, ' +
    'until it is well again.',
  category: 'operations',
  parameters: { to: TROUBLE.to, subject: TROUBLE.subject('Trouble with the plugin {{trigger.plugin}}') },
  build: (values) =>
    tellOf(['plugin.failing', 'plugin.disabling_soon', 'plugin.disabled', 'queue.behind'], values),
})
