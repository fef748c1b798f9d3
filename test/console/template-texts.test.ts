import t from 'tap'
import { parameterTextDe, TEMPLATES_DE } from '#console/src/pages/templates/texts-de.ts'
import { TEMPLATES } from '#modules/flow-template/templates/index.ts'

t.test('every ready-made template and each of its settings has German texts of its own', (t) => {
  t.same(Object.keys(TEMPLATES_DE).sort(), TEMPLATES.map(({ id }) => id).sort())
  for (const { id, title, description, parameters } of TEMPLATES) {
    t.not(TEMPLATES_DE[id]?.title, title)
    t.not(TEMPLATES_DE[id]?.description, description)
    for (const [name, parameter] of Object.entries(parameters)) {
      const text = parameterTextDe(id, name)
      t.not(text?.description ?? parameter.description, parameter.description, `${id}.${name}`)
    }
  }
  t.end()
})
