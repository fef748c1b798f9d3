import t from 'tap'
import { askables, isPlace, readMark, sentMark } from '#console/src/pages/templates/marks.ts'

const DEFINITION = {
  trigger: { type: 'event', event_types: ['order.paid'] },
  steps: [
    {
      id: 'call',
      type: 'http',
      url: 'https://api.example.com/',
      headers: { type: 'json' },
      body: { name: 'Ana', type: 'lead', next: 'soon' },
    },
    { id: 'size', type: 'switch', cases: [{ name: 'large', field: 'total', operator: 'gte', value: 500 }] },
  ],
}

t.test(
  'what a step sends may be asked for, whatever it is called; what holds the flow together may not',
  (t) => {
    t.same(
      askables(DEFINITION).map(({ place }) => place),
      [
        '/steps/0/url',
        '/steps/0/headers/type',
        '/steps/0/body/name',
        '/steps/0/body/type',
        '/steps/0/body/next',
        '/steps/1/cases/0/value',
      ],
    )
    t.end()
  },
)

t.test('a parameter is sent as it was read', (t) => {
  const text = { name: 'who', title: 'Who', description: '', places: ['/steps/0/body/name'], default: 'Ana' }
  for (const parameter of [
    { ...text, type: 'text' as const, max_length: 12 },
    { ...text, type: 'template' as const, max_length: 500 },
    { ...text, type: 'choice' as const, choices: ['Ana', 'Eva'] },
    { ...text, type: 'integer' as const, minimum: 1, maximum: 5 },
  ]) {
    t.same({ ...sentMark(readMark(parameter)), default: 'Ana' }, parameter)
  }
  const changed = { ...readMark({ ...text, type: 'template', max_length: 500 }), type: 'text' as const }
  t.equal(sentMark(changed).max_length, undefined, 'as another kind it has the usual length of that')
  t.end()
})

t.test('a place holds a value of the kind that is asked for', (t) => {
  t.ok(isPlace(DEFINITION, '/trigger/event_types/0', 'text'))
  t.ok(isPlace(DEFINITION, '/steps/1/cases/0/value', 'integer'))
  t.notOk(isPlace(DEFINITION, '/steps/1/cases/0/value', 'text'))
  t.notOk(isPlace(DEFINITION, '/steps/2/id', 'text'))
  t.notOk(isPlace(DEFINITION, '/steps/0/body', 'text'))
  t.end()
})
