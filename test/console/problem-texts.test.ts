import t from 'tap'
import { problemTextDe } from '#console/src/flow/problem-texts-de.ts'
import { compileFlow } from '#lib/flow/index.ts'
import { FAMILIES } from '#test/lib/flow/problem-cases/index.ts'
import { catalogue } from '#test/lib/flow/support.ts'

t.test('every mistake is told in German, with what it is about', (t) => {
  for (const [name, definition] of Object.values(FAMILIES).flat()) {
    for (const problem of compileFlow(definition, catalogue).problems) {
      const text = problemTextDe(problem)
      t.not(text, problem.message, name)
      t.notMatch(text, /„%“| …$/, name)
    }
  }
  t.end()
})

t.test('names and what was meant are kept; a code that is not known is told as it came', (t) => {
  const unknown = { code: 'unknown_step', message: 'There is no step "prise": did you mean "price"?' }
  t.equal(
    problemTextDe(unknown),
    'Den Schritt „prise“ gibt es nicht: nimm die Kennung eines Schritts vor diesem. Meintest du „price“?',
  )
  const missing = { code: 'missing_field', message: 'Add "subject": send_email needs it.' }
  t.equal(problemTextDe(missing), '„subject“ fehlt: die Aktion braucht es.')
  const vague = { code: 'wrong_type', message: 'Give a number here: it is text.' }
  t.match(problemTextDe(vague), /^Der Wert .* stehen kann\. \(Give a number here: it is text\.\)$/)
  t.equal(problemTextDe({ code: 'from_tomorrow', message: 'Do it.' }), 'Do it.')
  t.end()
})
