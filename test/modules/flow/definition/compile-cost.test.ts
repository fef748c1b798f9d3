import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { longestSilence } from '#test/support/silence.ts'

const service = await startApp(t)

/** Of CPU time, generous for slow machines: without turns it is up to 49 s. */
const MAX_SILENCE_MS = 1_000
const VALIDATE = '/api/automation/flows/validate'

function flow(steps: unknown[]): object {
  return { name: 'Hostile', trigger: { type: 'event', event_types: ['order.created'] }, steps }
}

function patterns(steps: number, each: number): object {
  return flow(
    Array.from({ length: steps }, (_, step) => ({
      id: `check_${step}`,
      type: 'condition',
      condition: {
        any: Array.from({ length: each }, (_, n) => ({
          field: 'note',
          operator: 'matches',
          value: `^(a|b)+${step}x${n}[a-z]{3,9}$`,
        })),
      },
      on_true: 'end',
      on_false: 'end',
    })),
  )
}

t.test('nine thousand regular expressions are too many, and hold nobody up', async (t) => {
  const shop = service.tenant()
  const sent = shop.post(VALIDATE, patterns(90, 100))
  const silence = await longestSilence(sent)
  t.ok(silence < MAX_SILENCE_MS, `silent for ${silence} ms`)
  const answered = await sent
  t.equal(answered.statusCode, 200, answered.body)
  t.match(answered.json(), {
    problems: [{ code: 'too_large', message: /at most 500 different regular expressions/ }],
  })
})

t.test('as many as are allowed are checked, the bad one among them too', async (t) => {
  const definition = patterns(5, 100) as { steps: { condition: { any: { value: string }[] } }[] }
  const last = definition.steps.at(-1)?.condition.any.at(-1)
  if (last !== undefined) last.value = '(a)\\1'
  const answered = await service.tenant().post(VALIDATE, definition)
  const { problems } = answered.json<{ problems: { code: string; pointer: string }[] }>()
  t.match(
    problems.filter(({ code }) => code === 'unsafe_pattern'),
    [{ pointer: '/steps/4/condition/any/99/value' }],
  )
})

t.test(
  'a thousand ports that lead nowhere are answered without searching for what was meant by each',
  async (t) => {
    const name = (letter: string, n: number) => letter + String(n).padStart(63, 'x')
    const steps = Array.from({ length: 500 }, (_, n) => ({
      id: name('c', n),
      type: 'condition',
      condition: { field: 'total', operator: 'exists' },
      on_true: name('d', n).replaceAll('x', 'y'),
      on_false: name('d', n).replaceAll('x', 'z'),
    }))
    const sent = service.tenant().post(VALIDATE, flow(steps))
    const silence = await longestSilence(sent)
    t.ok(silence < MAX_SILENCE_MS, `silent for ${silence} ms`)
    t.match((await sent).json<{ problems: { code: string }[] }>().problems.at(-1), {
      code: 'too_many_problems',
    })
  },
)

t.test('what was meant is still suggested', async (t) => {
  const steps = [
    { id: 'check', type: 'condition', condition: { field: 'total', operator: 'exists' }, on_true: 'notfy' },
    { id: 'notify', type: 'set', variables: { a: 1 } },
    { id: 'other', type: 'set', variables: { a: '{{steps.chek.output.result}}' } },
  ]
  const answered = await service.tenant().post(VALIDATE, flow(steps))
  t.match(answered.body, /did you mean \\"notify\\"/)
  t.match(answered.body, /did you mean \\"check\\"/)
})
