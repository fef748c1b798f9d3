import t from 'tap'
import { Plugin } from '#modules/plugin/answer-schemas.ts'
import { PluginInput, PluginPatch, PluginReplacement } from '#modules/plugin/schemas.ts'
import { EACH_FIELD, FIELDS } from '#modules/plugin/settings/fields.ts'
import { checkChanges, type Changes } from '#modules/plugin/settings/settings.ts'
import { createTestDatabase } from '#test/support/database.ts'

t.test('every declared field is in the bodies and in the answer', async (t) => {
  for (const name of Object.keys(FIELDS)) {
    for (const schema of [PluginInput, PluginReplacement, PluginPatch, Plugin]) {
      t.ok(Object.hasOwn(schema.properties, name), `${name} is in ${String(schema.$id)}`)
    }
  }
})

t.test('every declared field has a column, and no two share one', async (t) => {
  const { db } = await createTestDatabase(t)
  const tables = await db.introspection.getTables()
  const plugins = tables.find(({ name }) => name === 'plugins')
  const columns = new Set(plugins?.columns.map(({ name }) => name))
  const declared = EACH_FIELD.map(([, { column }]) => column)
  t.same(
    declared.filter((column) => !columns.has(column)),
    [],
  )
  t.equal(new Set(declared).size, declared.length)
})

t.test('checks of fields name them in the order of their declaration', async (t) => {
  const changes = {
    base_url: 'https://plugin.example/?a=1',
    webhook_url: 'https://plugin.example/#here',
    headers: { host: 'a' },
    events: ['a..b'],
  } satisfies Changes
  t.same(
    checkChanges(changes).map(({ pointer }) => pointer),
    ['/webhook_url', '/base_url', '/events/0', '/headers/host'],
  )
})
