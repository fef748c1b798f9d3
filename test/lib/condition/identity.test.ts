import t from 'tap'
import { identityText, isSameIdentity } from '#lib/condition/identity.ts'
import { parseJson } from '#lib/json/index.ts'

function json(text: string): unknown {
  return parseJson(Buffer.from(text))
}

t.test('scalars have one text each, whatever they were sent as', (t) => {
  const texts: [sent: string, text: string][] = [
    ['42', '42'],
    ['"42"', '42'],
    ['42.0', '42'],
    ['4.2e1', '42'],
    ['-0', '0'],
    ['0.50', '0.5'],
    ['5e-7', '0.0000005'],
    ['9007199254740993', '9007199254740993'],
    ['9007199254740993.0', '9007199254740993'],
    ['1000000000000000000000', '1000000000000000000000'],
    ['-123456789012345678901234567890.10', '-123456789012345678901234567890.1'],
    ['"42.0"', '42.0'],
    ['"042"', '042'],
    ['""', ''],
    ['true', 'true'],
    ['"true"', 'true'],
  ]
  for (const [sent, text] of texts) t.equal(identityText(json(sent)), text, sent)
  for (const sent of ['null', '{}', '[]', '["42"]']) t.equal(identityText(json(sent)), null, sent)
  t.equal(identityText(json('1e400'))?.length, 401)
  t.equal(identityText(undefined), null)
  t.end()
})

t.test('what has the same text is the same thing, lists and objects are what they are', (t) => {
  const same = (a: string, b: string): boolean => isSameIdentity(json(a), json(b))
  t.ok(same('42', '"42"'))
  t.ok(same('true', '"true"'))
  t.ok(same('{"a":1,"b":2}', '{"b":2,"a":1}'))
  t.ok(same('null', 'null'))
  t.notOk(same('42', '"42.0"'))
  t.notOk(same('9007199254740992', '9007199254740993'))
  t.notOk(same('null', '"null"'))
  t.notOk(same('{"a":1}', '{"a":"1"}'))
  t.notOk(same('{"a":1}', '"{\\"a\\":1}"'))
  t.notOk(same('[42]', '42'))
  t.end()
})
