import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { compileTemplateTree } from '#lib/template/index.ts'
import { newId } from '#lib/ids.ts'
import type { MessageDraft, MessageKey, RecordedMessage } from '#modules/message/index.ts'
import { startApp, type TestApp } from '#test/support/app.ts'
import { type AiServer, completion, startAi } from './support.ts'

const KEY = 'sk-operators-own-key-000000'
/** A good answer that comes so long after the request comes after the deadline: timers of one process keep their order. */
const LATE_MS = 10_000
const DEADLINE_MS = 1_000
const PROMPT = compileTemplateTree('Thank {{trigger.name}}')

/** The service with an AI at this address; whatever EGRESS_ALLOW says does not count for it. */
async function startService(t: Test, env: Record<string, string>): Promise<TestApp> {
  return startApp(t, { env: { EGRESS_ALLOW: '192.0.2.1', ...env } })
}

function environment(ai: AiServer, rest: Record<string, string> = {}): Record<string, string> {
  return { AI_BASE_URL: ai.baseUrl, AI_API_KEY: KEY, AI_MODEL: 'small, large', ...rest }
}

function draft(rest: Partial<MessageDraft> = {}, ai: Partial<MessageDraft['ai']> = {}): MessageDraft {
  if ('problems' in PROMPT) throw new Error('the prompt does not compile')
  const scope = { trigger: { name: 'Ann' } }
  return {
    channel: 'email',
    to: 'ann@example.com',
    subject: 'Thanks',
    body: 'Thank you, Ann.',
    ai: { template: PROMPT.template, scope, now: new Date(), flow: {}, model: null, maxTokens: 200, ...ai },
    ...rest,
  }
}

const keyOf = (tenantId: string, stepId = 'mail'): MessageKey => ({
  tenantId,
  executionId: newId(),
  stepId,
  iteration: '',
})

async function compose(service: TestApp, given: MessageDraft): Promise<RecordedMessage> {
  return service.app.messages.compose(keyOf(service.tenant().id), given)
}

const byTemplate = (fallback_reason: string) => ({
  body: 'Thank you, Ann.',
  source: 'template',
  model: null,
  fallback_reason,
})

t.test('with an AI', async (t) => {
  const ai = await startAi(t)
  const service = await startService(t, environment(ai))

  t.test('the message says what the model answered, asked with the key and the default model', async (t) => {
    ai.received.length = 0
    ai.say('  Dear Ann, thank you! {{trigger.name}}\n')
    const message = await compose(service, draft())
    t.match(message, {
      channel: 'email',
      to: 'ann@example.com',
      subject: 'Thanks',
      body: 'Dear Ann, thank you! {{trigger.name}}',
      source: 'ai',
      model: 'small',
      fallback_reason: null,
    })
    t.match(ai.requests(), [{ model: 'small', max_completion_tokens: 200 }])
    t.match(ai.requests()[0]?.messages, [
      { role: 'system' },
      { role: 'user', content: /^Thank <.*>Ann<.*>$/ },
    ])
    t.equal(ai.received[0]?.headers.authorization, `Bearer ${KEY}`)
  })

  t.test('a step may name another model that the operator lists, and no other', async (t) => {
    ai.received.length = 0
    ai.say('Hello')
    t.match(await compose(service, draft({}, { model: 'large' })), { source: 'ai', model: 'large' })
    t.match(await compose(service, draft({}, { model: 'huge' })), byTemplate('model_not_allowed'))
    t.equal(ai.received.length, 1)
  })

  t.test('what was recorded is what the message says from then on, and nobody is asked again', async (t) => {
    ai.received.length = 0
    ai.say('First')
    const key = keyOf(service.tenant().id)
    const first = await service.app.messages.compose(key, draft())
    ai.say('Second')
    t.strictSame(await service.app.messages.compose(key, draft({ body: 'Third' })), first)
    t.strictSame(await service.app.messages.find(key), first)
    t.equal(first.body, 'First')
    t.equal(ai.received.length, 1)
    const other = await service.app.messages.compose({ ...key, iteration: '1' }, draft())
    t.equal(other.body, 'Second', 'the next item of a loop has a message of its own')
  })

  t.test('two workers that compose the same message at once agree on what it says', async (t) => {
    let count = 0
    ai.answer((_received, response) => void response.end(completion(`Answer ${++count}`)))
    const key = keyOf(service.tenant().id)
    const [one, other] = await Promise.all([
      service.app.messages.compose(key, draft()),
      service.app.messages.compose(key, draft()),
    ])
    t.strictSame(one, other)
  })

  t.test('of many that are recorded together, each says its own', async (t) => {
    const tenantId = service.tenant().id
    const keys = Array.from({ length: 120 }, (_, index) => keyOf(tenantId, `m${index}`))
    const written = (key: MessageKey): Promise<RecordedMessage> =>
      service.app.messages.compose(key, draft({ ai: null, body: `Text of ${key.stepId}` }))
    await Promise.all(keys.slice(0, 10).map(written))
    const all = await Promise.all(keys.map(written))
    t.strictSame(
      all.map(({ body }) => body),
      keys.map(({ stepId }) => `Text of ${stepId}`),
    )
    t.equal(new Set(all.map(({ id }) => id)).size, keys.length)
  })

  t.test('a message without a prompt asks nobody and is no fallback', async (t) => {
    ai.received.length = 0
    t.match(await compose(service, draft({ ai: null })), { source: 'template', fallback_reason: null })
    t.equal(ai.received.length, 0)
  })

  t.test('a prompt that lacks a value is not sent', async (t) => {
    ai.received.length = 0
    t.match(await compose(service, draft({}, { scope: { trigger: {} } })), byTemplate('invalid_prompt'))
    t.equal(ai.received.length, 0)
  })

  t.test('an answer that repeats the operator’s key does not carry it on', async (t) => {
    ai.say(`Your key is ${KEY}`)
    const { body } = await compose(service, draft())
    t.equal(body, 'Your key is [redacted]')
  })

  t.test('a text message that is too long for one is not sent', async (t) => {
    ai.say('long '.repeat(400))
    t.match(await compose(service, draft({ channel: 'sms', subject: null })), byTemplate('too_long'))
    t.match(await compose(service, draft()), { source: 'ai' })
  })
})

t.test('whatever the API does, the template is there', async (t) => {
  const ai = await startAi(t)
  // Each on a service of its own would be slow; a breaker that opens would hide what comes after: well answers between.
  const service = await startService(t, environment(ai, { AI_TIMEOUT_MS: String(DEADLINE_MS) }))
  const cases: [name: string, arrange: () => void, reason: string][] = [
    ['an error of the server', () => ai.answer(500), 'http_error'],
    ['a key that is not known', () => ai.answer(401), 'http_error'],
    ['a limit that was met', () => ai.answer(429), 'http_error'],
    [
      'a redirect',
      () => ai.answer((_received, response) => response.writeHead(307, { location: ai.baseUrl }).end()),
      'http_error',
    ],
    ['no answer until long after', () => answerLate(ai), 'timeout'],
    ['an answer that drips', () => drip(ai), 'timeout'],
    ['an answer without end', () => flood(ai), 'invalid_response'],
    ['a connection that breaks', () => ai.answer((_received, response) => response.destroy()), 'unreachable'],
    ['an answer that is not JSON', () => ai.send('<html>'), 'invalid_response'],
    ['an answer without choices', () => ai.send('{"choices":[]}'), 'invalid_response'],
    ['an empty answer', () => ai.say(' '), 'empty'],
    ['an answer that was cut off', () => ai.say('Dear', { finish_reason: 'length' }), 'too_long'],
    ['a refusal', () => ai.say('', { finish_reason: 'content_filter' }), 'refused'],
  ]
  for (const [name, arrange, reason] of cases) {
    t.test(`${name}: ${reason}`, async (t) => {
      arrange()
      t.match(await compose(service, draft()), byTemplate(reason))
      ai.say('well again')
      t.match(await compose(service, draft()), { source: 'ai' })
    })
  }
})

t.test('an API that keeps failing is given a pause', async (t) => {
  const ai = await startAi(t)
  const service = await startService(t, environment(ai))
  ai.answer(503)
  for (let call = 0; call < 5; call++) t.match(await compose(service, draft()), byTemplate('http_error'))
  ai.say('well again')
  t.match(await compose(service, draft()), byTemplate('unavailable'))
  t.equal(ai.received.length, 5)
})

t.test(
  'one shop’s messages under way leave turns for another one’s, and who gets none says so',
  async (t) => {
    const ai = await startAi(t)
    const service = await startService(t, environment(ai, { AI_TIMEOUT_MS: '3000' }))
    const rush = service.tenant().id
    ai.answer(() => undefined)
    const stuck = Array.from({ length: 5 }, (_, index) =>
      service.app.messages.compose(keyOf(rush, `m${index}`), draft()),
    )
    await ai.waitFor(4)
    ai.say('Hello')
    t.match(await compose(service, draft()), { source: 'ai' })
    const reasons = (await Promise.all(stuck)).map(({ fallback_reason }) => fallback_reason)
    t.equal(reasons.filter((reason) => reason === 'timeout').length, 4)
  },
)

t.test('without AI_BASE_URL the template is used, and the message says so', async (t) => {
  const service = await startService(t, {})
  t.match(await compose(service, draft()), byTemplate('not_configured'))
})

t.test('an API that is not there', async (t) => {
  const closed = createServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise((resolve) => closed.close(resolve))
  const env = { AI_BASE_URL: `http://127.0.0.1:${port}/v1`, AI_MODEL: 'small' }
  const service = await startService(t, env)
  t.match(await compose(service, draft()), byTemplate('unreachable'))
})

t.test('what the API says of an error is kept with the message and counted, without secrets', async (t) => {
  const ai = await startAi(t)
  const service = await startService(t, environment(ai))
  const error = {
    message: 'Incorrect API key provided: ' + KEY,
    code: 'invalid_api_key',
  }
  ai.answer((_received, response) => response.writeHead(401).end(JSON.stringify({ error })))
  const message = await compose(service, draft())
  t.match(message, {
    fallback_reason: 'http_error',
    fallback_detail: 'status 401 invalid_api_key: Incorrect API key provided: [redacted]',
  })
  const metrics = await service.app.metrics.registry.metrics()
  t.match(metrics, 'bcs_ai_errors_total{status="401",code="invalid_api_key"} 1')
  for (let n = 0; n < 60; n++) {
    const code = `code_${n}`
    ai.answer((_received, response) => response.writeHead(400).end(JSON.stringify({ error: { code } })))
    await compose(service, draft())
  }
  const after = await service.app.metrics.registry.metrics()
  t.ok(after.split('\n').filter((line) => line.startsWith('bcs_ai_errors_total{')).length <= 52)
  t.match(after, 'bcs_ai_errors_total{status="400",code="other"}')
})

t.test('messages are counted by what wrote them', async (t) => {
  const ai = await startAi(t)
  const service = await startService(t, environment(ai))
  const key = keyOf(service.tenant().id)
  await service.app.messages.compose(key, draft())
  await service.app.messages.compose(key, draft())
  ai.say('')
  await compose(service, draft())
  const metrics = await service.app.metrics.registry.metrics()
  t.match(metrics, 'bcs_messages_total{source="ai",fallback_reason=""} 1')
  t.match(metrics, 'bcs_messages_total{source="template",fallback_reason="empty"} 1')
})

function answerLate(ai: AiServer): void {
  ai.answer((_received, response) => {
    const timer = setTimeout(() => response.end(completion('Too late')), LATE_MS)
    response.on('close', () => clearTimeout(timer))
  })
}

function drip(ai: AiServer): void {
  ai.answer((_received, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const drops = setInterval(() => response.write(' '), 100)
    const end = setTimeout(() => response.end(completion('Too late')), LATE_MS)
    response.on('close', () => {
      clearInterval(drops)
      clearTimeout(end)
    })
  })
}

function flood(ai: AiServer): void {
  ai.answer((_received, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = (): void => {
      while (!response.destroyed && response.write(' '.repeat(64 * 1024)));
    }
    response.on('drain', more)
    more()
  })
}
