import t from 'tap'
import { readCompletion } from '#modules/message/completion.ts'
import { completion } from './support.ts'

t.test('the text of the first choice is the answer, as plain text', async (t) => {
  t.strictSame(readCompletion(completion('  Dear Ann,\r\nthank you.\n')), { text: 'Dear Ann,\nthank you.' })
  t.strictSame(readCompletion(completion('a\u0000b\u001b[31mc\ud800')), { text: 'ab[31mc\ufffd' })
  for (const finish_reason of [undefined, null, '', 'stop', 'STOP', 'eos', 'eos_token', 'end_turn']) {
    t.strictSame(readCompletion(completion('done', { finish_reason })), { text: 'done' })
  }
})

t.test('what a model thinks aloud is no part of its answer', async (t) => {
  const thoughts = '<think>\nThe customer is angry.\n</think>\n\nDear Ann'
  t.strictSame(readCompletion(completion(thoughts)), { text: 'Dear Ann' })
  t.match(readCompletion(completion('<think>The customer is')), { reason: 'invalid_response' })
  t.match(readCompletion(completion('<think>x</think>')), { reason: 'empty' })
})

t.test('content may come in parts, of which the texts are the answer', async (t) => {
  const parts = [
    { type: 'thinking', thinking: [{ type: 'text', text: 'angry' }] },
    { type: 'text', text: 'Dear ' },
    { type: 'text', text: 'Ann' },
  ]
  t.strictSame(readCompletion(message(parts)), { text: 'Dear Ann' })
})

const refusal = { message: { role: 'assistant', content: null, refusal: 'I cannot help with that.' } }
const message = (content: unknown): string => completion(null, { message: { role: 'assistant', content } })

/** Answers that are no message, with the reason that is recorded. */
const CASES: readonly (readonly [name: string, body: string, reason: string])[] = [
  ['no JSON', '<html>Bad gateway</html>', 'invalid_response'],
  ['JSON that is no object', '[]', 'invalid_response'],
  ['JSON nested without end', '['.repeat(200_000), 'invalid_response'],
  ['an error in place of choices', '{"error":{"message":"overloaded"}}', 'invalid_response'],
  ['no choices', '{"choices":[]}', 'invalid_response'],
  ['choices that are no list', '{"choices":{"0":{"message":{"content":"x"}}}}', 'invalid_response'],
  ['a choice without a message', '{"choices":[{"text":"x"}]}', 'invalid_response'],
  ['parts that are none', message(['x']), 'invalid_response'],
  ['a part without text', message([{ type: 'text', text: 5 }]), 'invalid_response'],
  ['parts without any text', message([{ type: 'thinking', thinking: 'x' }]), 'empty'],
  ['a part that refuses', message([{ type: 'refusal', refusal: 'No.' }]), 'refused'],
  ['a number', message(5), 'invalid_response'],
  ['a call of a tool', completion(null, { finish_reason: 'tool_calls' }), 'empty'],
  ['no content', message(undefined), 'empty'],
  ['empty text', completion(''), 'empty'],
  ['blank text', completion(' \n\u0000 '), 'empty'],
  ['a refusal', completion(null, refusal), 'refused'],
  ['a filtered answer', completion('Dear', { finish_reason: 'content_filter' }), 'refused'],
  ['an answer that was cut off', completion('Dear Ann, we', { finish_reason: 'length' }), 'too_long'],
  ...[
    'error',
    'abort',
    'insufficient_system_resource',
    'tool_calls',
    'function_call',
    'cancelled',
    5,
    {},
  ].map(
    (finish_reason) =>
      [
        `an answer that broke off (${JSON.stringify(finish_reason)})`,
        completion('Dear Ann, your or', { finish_reason }),
        'invalid_response',
      ] as const,
  ),
  ['nothing but thoughts, uncounted', completion('', { finish_reason: 'length' }), 'out_of_tokens'],
  ['thoughts that were cut off', completion('<think>The', { finish_reason: 'length' }), 'out_of_tokens'],
]

for (const [name, body, reason] of CASES) {
  t.test(`${name}: ${reason}`, async (t) => {
    t.match(readCompletion(body), { reason, detail: /./ })
  })
}
