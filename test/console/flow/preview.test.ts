import t from 'tap'
import { previewFaultDe } from '#console/src/forms/preview-faults-de.ts'
import { type PreviewContext, previewOf } from '#console/src/forms/preview.ts'

const now = new Date('2026-07-01T10:00:00Z')
const shop: PreviewContext = { now, zone: 'Europe/Lisbon', scheduleZone: null, isPastEvent: false }
const entry = (path: string, sample?: unknown) => ({
  path,
  type: 'text',
  group: path.split('.')[0] ?? '',
  ...(sample !== undefined && { sample }),
})

t.test('times are shown by the clocks by which they are sent', (t) => {
  const text = '{{trigger.starts_at | date: "%H:%M"}}'
  const scope = [entry('trigger.starts_at', '2026-07-01T14:00:00Z')]
  t.same(previewOf(text, scope, shop), { value: '15:00' })
  t.same(previewOf(text, scope, { ...shop, scheduleZone: 'Asia/Tokyo' }), { value: '23:00' })
  const own = [...scope, entry('trigger.time_zone', 'Europe/Berlin')]
  t.same(previewOf(text, own, shop), { value: '16:00' })
  t.end()
})

t.test('what has no sample is not called missing', (t) => {
  const scope = [
    entry('trigger.total', 12),
    entry('trigger.note'),
    entry('variables.shop_name'),
    entry('steps.ask.output'),
  ]
  for (const path of ['variables.shop_name', 'steps.ask.output.id', 'execution.id', 'trigger.note'])
    t.same(previewOf(`Of {{${path}}}`, scope, shop), { unknown: path })
  t.same(previewOf('{{variables.shop_name | default: "us"}}', scope, shop), { value: 'us' })
  t.same(previewOf('{{trigger.body.id}}', [entry('trigger')], shop), { unknown: 'trigger.body.id' })
  const real = { ...shop, isPastEvent: true }
  t.match(previewOf('Of {{trigger.note}}', scope, real), { fault: /trigger\.note\}\} is missing/ })
  t.match(previewOf('Of {{trigger.totl}}', scope, shop), { fault: /trigger\.totl\}\} is missing/ })
  t.end()
})

t.test('what cannot be read is left to the compiler', (t) => {
  t.equal(previewOf('{{trigger.total | upperr}}', [entry('trigger.total', 1)], shop), null)
  t.equal(previewOf('no template', [], shop), null)
  t.end()
})

t.test('why a template fails is said in German', (t) => {
  const scope = [entry('trigger.total', 12), entry('trigger.at', 'soon'), entry('trigger.tags', ['a'])]
  const cases: [text: string, german: string][] = [
    ['Of {{trigger.x}}', '{{trigger.x}} fehlt: gib einen Ersatzwert an, etwa | default: ""'],
    [
      '{{trigger.tags | upcase}}',
      '{{trigger.tags | upcase}} gibt dem Filter „upcase“ einen Wert, den er nicht brauchen kann',
    ],
    [
      '{{trigger.total | divided_by: 0}}',
      'Mit dem Beispiel geht das nicht. ({{trigger.total | divided_by: 0}} divides by zero)',
    ],
    [
      '{% for a in trigger.x %}{{a}}{% endfor %}',
      '{{trigger.x}} fehlt: sage mit {% else %}, was ohne eine Liste gilt',
    ],
    [
      '{% for a in trigger.total %}{{a}}{% endfor %}',
      '{{trigger.total}} ist keine Liste, und „for“ braucht eine',
    ],
  ]
  for (const [text, german] of cases) {
    const preview = previewOf(text, scope, shop)
    t.equal(preview !== null && 'fault' in preview && previewFaultDe(preview.fault), german, text)
  }
  t.end()
})
