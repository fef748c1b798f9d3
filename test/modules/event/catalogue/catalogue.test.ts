import t from 'tap'
import { isEventType } from '#lib/event-pattern.ts'
import { checkSchema, validate } from '#lib/schema/safe/index.ts'
import { CATALOGUE } from '#modules/event/catalogue/index.ts'

t.test('every type of the catalogue has a schema of the safe subset that its sample matches', async (t) => {
  t.ok(CATALOGUE.size >= 25)
  for (const { name, description, sample, schema } of CATALOGUE.values()) {
    t.ok(isEventType(name), name)
    t.ok(description.length > 10, name)
    t.strictSame(checkSchema(schema), [], name)
    t.strictSame(validate(schema, sample), [], name)
    t.strictSame(validate(schema, { ...sample, added_later: { by: 'the platform' } }), [], name)
    t.ok(validate(schema, {}).length > 0, `${name} asks for something`)
  }
})
