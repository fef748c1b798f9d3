import t from 'tap'
import { compile } from '../../../src/modules/flow/compile.ts'
import { readParameters } from '../../../src/modules/flow-template/read-parameters.ts'
import { TEMPLATES } from '../../../src/modules/flow-template/templates/index.ts'
import { startApp } from '../../support/app.ts'

t.test('every template compiles without errors and warnings for a fresh tenant', async (t) => {
  const { app, db, ...rest } = await startApp(t)
  for (const template of TEMPLATES) {
    const read = readParameters(template.parameters, {})
    if ('errors' in read) throw new Error(JSON.stringify(read.errors))
    const definition = { name: template.title, ...template.build(read.values) }
    const { flow, problems } = await compile({ db, registry: app.registry }, rest.tenant().id, definition)
    t.same(problems, [], template.id)
    t.ok(flow, template.id)
  }
})
