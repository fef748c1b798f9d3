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
      t.notMatch(text, /„%“|\$\d| …$/, name)
    }
  }
  t.end()
})

t.test('messages of one code that say different things are told apart', (t) => {
  const cases = [
    ['step_not_before', 'A step cannot read its own result.', /sein eigenes Ergebnis/],
    [
      'step_not_before',
      '"b" has not succeeded on every path to this step: lead all.',
      /^„b“ .* gelungen: führe alle/,
    ],
    [
      'step_not_before',
      '"b" runs in the loop "f": its results are in steps.f.output.',
      /^„b“ läuft in der Schleife „f“: .* in steps\.f\.output\.$/,
    ],
    [
      'step_not_before',
      '"b" has no "on_error" that leads to a step: in error handlers, read execution.error.',
      /^„b“ hat keinen Weg „on_error“.*execution\.error/,
    ],
    [
      'step_not_before',
      '"b" has not failed on every path to this step: lead its "on_error" alone here, or add a default.',
      /^„b“ .* gescheitert: führe nur „on_error“/,
    ],
    ['unknown_target', 'There is no step "tow": did you mean "two"?', /„tow“.*Meintest du „two“/],
    ['unknown_target', 'Give "start" the id of a step.', /^Gib bei „start“ die Kennung/],
    [
      'unknown_target',
      'Give "on_true" the id of one step, or "end": what follows.',
      /^Gib bei „on_true“ .*„end“/,
    ],
    ['unknown_field', 'The action has no field "sujet": it takes to.', /kein Feld „sujet“: entferne/],
    [
      'unknown_field',
      'ping has no field for the message\'s "to": give one of its fields in "input" the text {{steps.a.output.to}}.',
      /^Die Aktion ping hat kein Feld für „to“ .* \{\{steps\.a\.output\.to\}\}\.$/,
    ],
    [
      'missing_field',
      'ping has no field for the message\'s "body": give one of its fields in "input" the text {{steps.a.output.body}}.',
      /^Die Aktion ping hat kein Feld für „body“ .* \{\{steps\.a\.output\.body\}\}\.$/,
    ],
    ['missing_field', 'Add "subject": the action usually has it.', /^„subject“ fehlt: .* gewöhnlich/],
    ['invalid_header', '"Host" is not a header that may be set.', /^„Host“ kann keine Kopfzeile sein/],
    ['invalid_header', 'Give "header" a header\'s name.', /^Gib bei „header“ den Namen/],
    [
      'invalid_header',
      'Give the name of a header, and not of one with credentials.',
      /keiner mit Zugangsdaten/,
    ],
    ['invalid_header', 'Give a header one line of text.', /\(Give a header one line of text\.\)$/],
    [
      'unknown_root',
      '"steps" is not there yet: start with one of trigger, now.',
      /^„steps“ gibt es hier noch nicht: nimm eins von trigger, now\.$/,
    ],
    ['unknown_root', 'Nothing is called "a-b": put spaces around + and -.', /^„a-b“ .* Leerzeichen/],
    [
      'unknown_root',
      'Nothing is called "name": start with one of trigger, steps, such as trigger.name.',
      /^Mit „name“ .* nimm eins von trigger, steps, etwa trigger\.name\.$/,
    ],
  ] as const
  for (const [code, message, text] of cases) t.match(problemTextDe({ code, message }), text, message)
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
