import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { tableRows } from '#test/support/markdown.ts'
import type { Parameter } from '#modules/flow-template/parameter.ts'
import { TEMPLATES } from '#modules/flow-template/templates/index.ts'

/** Values that are as far from the defaults as they may be. */
function extremes(parameter: Parameter): (string | number)[] {
  switch (parameter.type) {
    case 'integer':
      return [parameter.minimum, parameter.maximum]
    case 'choice':
      return [...parameter.choices]
    case 'text':
      return ['x'.repeat(parameter.max_length), '{{trigger.id}}', ...(parameter.default === '' ? [''] : [])]
    case 'template':
      return ['{{trigger | json}}', ...(parameter.default === '' ? [''] : [])]
  }
}

t.test('every template compiles without errors and warnings for a fresh tenant', async (t) => {
  const { app, ...service } = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
  for (const { id } of TEMPLATES) {
    const { flow, problems } = await app.flows.compile(service.tenant().id, app.flowTemplates.define(id, {}))
    t.same(problems, [], id)
    t.ok(flow, id)
  }
})

t.test('and so it does with whatever may be chosen', async (t) => {
  const { app, ...service } = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
  const { id: tenantId } = service.tenant()
  for (const { id, parameters } of TEMPLATES) {
    for (const [name, parameter] of Object.entries(parameters)) {
      for (const value of extremes(parameter)) {
        if (name === 'time_zone') continue
        const rest =
          name === 'first_days' ? { second_days: 365 } : name === 'second_days' ? { first_days: 1 } : {}
        const definition = app.flowTemplates.define(id, { parameters: { ...rest, [name]: value } })
        const { problems } = await app.flows.compile(tenantId, definition)
        t.same(problems, [], `${id}, ${name}: ${String(value).slice(0, 40)}`)
      }
    }
  }
})

t.test('the same parameters make the same definition, and touch no other', async (t) => {
  const { app } = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
  for (const { id } of TEMPLATES) {
    const first = app.flowTemplates.define(id, {})
    const text = JSON.stringify(first)
    ;(first['steps'] as unknown[]).length = 0
    t.equal(JSON.stringify(app.flowTemplates.define(id, {})), text, id)
  }
})

t.test('the table in the docs names every template and what starts it', async (t) => {
  const service = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
  const page = await readFile(resolve(import.meta.dirname, '../../../docs/flow-templates.md'), 'utf8')
  const { data } = (await service.tenant().get('/api/automation/templates')).json<{
    data: { id: string; triggers: string[] }[]
  }>()
  t.same(
    tableRows(page)
      .slice(1)
      .map(([id = '', triggers = '']) => [id.trim(), triggers.trim()]),
    data.map(({ id, triggers }) => [`\`${id}\``, triggers.map((type) => `\`${type}\``).join(', ')]),
  )
})
