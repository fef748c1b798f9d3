import t, { type Test } from 'tap'
import { type Received, startReceiver } from '#test/support/receiver.ts'
import { aiCheck } from '#src/doctor/ai.ts'
import type { DoctorContext } from '#src/doctor/check.ts'
import { openAiClient } from '#modules/message/index.ts'
import { loadConfig } from '#config/config.ts'
import { type ChatRequest, completion } from './support.ts'

const KEY = 'sk-operators-own-key-000000'

interface Answer {
  status?: number
  body: unknown
}

/** An endpoint that answers as its provider does, and a client for it. */
async function startProvider(
  t: Test,
  answer: (request: ChatRequest, received: Received) => Answer,
  env: Record<string, string> = {},
  path = '/v1',
) {
  const receiver = await startReceiver(t)
  receiver.answer((received, response) => {
    const { status = 200, body } = answer(JSON.parse(received.body) as ChatRequest, received)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  const environment = {
    AI_BASE_URL: `${receiver.url}${path}`,
    AI_API_KEY: KEY,
    AI_MODEL: 'gpt-5-mini',
    ...env,
  }
  const opened = openAiClient(loadConfig({ ...environment }, null))
  if (opened === null) throw new Error('no client')
  t.teardown(() => opened.close())
  const prompt = { system: 'You write messages.', user: 'Thank Ann.' }
  return {
    environment,
    receiver,
    requests: () => receiver.received.map(({ body }) => JSON.parse(body) as ChatRequest),
    ask: (model = 'gpt-5-mini', maxTokens = 400) =>
      opened.client.ask({ tenantId: 'a', model, maxTokens, prompt }),
  }
}

const said = (body: string): Answer => ({ body })
const HELLO = completion('Dear Ann')

/** OpenAI, and Azure in its newer form. */
function unsupported(param: string, advice: string): Answer {
  const message = `Unsupported parameter: '${param}' is not supported with this model. ${advice}`
  return {
    status: 400,
    body: { error: { message, type: 'invalid_request_error', param, code: 'unsupported_parameter' } },
  }
}

t.test('OpenAI: a current model is asked as it wants to be, with nothing that is not needed', async (t) => {
  const { ask, requests, receiver } = await startProvider(t, (request) =>
    'max_tokens' in request ? unsupported('max_tokens', "Use 'max_completion_tokens' instead.") : said(HELLO),
  )
  t.strictSame(await ask(), { text: 'Dear Ann' })
  t.strictSame(Object.keys(requests()[0] ?? {}).sort(), ['max_completion_tokens', 'messages', 'model'])
  t.match(receiver.received[0]?.headers, { authorization: `Bearer ${KEY}`, 'api-key': undefined })
})

t.test('a model that thinks gets room for it, and is asked so at once from then on', async (t) => {
  const thinking = (request: ChatRequest): Answer =>
    (request.max_completion_tokens ?? 0) < 2_000
      ? said(completion('', { finish_reason: 'length' }))
      : said(HELLO)
  const { ask, requests } = await startProvider(t, thinking)
  t.strictSame(await ask(), { text: 'Dear Ann' })
  t.strictSame(await ask(), { text: 'Dear Ann' })
  t.strictSame(
    requests().map(({ max_completion_tokens }) => max_completion_tokens),
    [400, 8_400, 8_400],
  )
  const never = await startProvider(t, () => said(completion(null, { finish_reason: 'length' })))
  t.match(await never.ask(), { reason: 'out_of_tokens' })
  t.equal(never.requests().length, 2)
})

t.test(
  'Azure: the key in its own header, the version in the query, an older name of the limit',
  async (t) => {
    const path = '/openai/deployments/mini?api-version=2024-06-01'
    const old = (request: ChatRequest): Answer =>
      'max_completion_tokens' in request
        ? {
            status: 400,
            body: {
              error: {
                message: 'Unrecognized request argument supplied: max_completion_tokens',
                type: 'invalid_request_error',
                param: null,
                code: null,
              },
            },
          }
        : said(HELLO)
    const { ask, requests, receiver } = await startProvider(t, old, { AI_KEY_HEADER: 'api-key' }, path)
    t.strictSame(await ask(), { text: 'Dear Ann' })
    t.strictSame(await ask('other'), { text: 'Dear Ann' })
    t.strictSame(await ask(), { text: 'Dear Ann' })
    t.strictSame(
      requests().map((request) => [request.model, 'max_tokens' in request]),
      [
        ['gpt-5-mini', false],
        ['gpt-5-mini', true],
        ['other', false],
        ['other', true],
        ['gpt-5-mini', true],
      ],
      'learned by model',
    )
    t.equal(receiver.received[0]?.path, '/openai/deployments/mini/chat/completions?api-version=2024-06-01')
    t.match(receiver.received[0]?.headers, { 'api-key': KEY, authorization: undefined })
  },
)

t.test('Azure: what its filter refuses is told as refused', async (t) => {
  const body = {
    error: {
      message: "The response was filtered due to the prompt triggering Azure OpenAI's content policy.",
      param: 'prompt',
      code: 'content_filter',
      status: 400,
      innererror: { code: 'ResponsibleAIPolicyViolation' },
    },
  }
  const { ask } = await startProvider(t, () => ({ status: 400, body }))
  t.match(await ask(), { reason: 'refused', provider: { status: 400, code: 'content_filter' } })
})

t.test('Ollama: thoughts beside the answer, and a model that was not pulled', async (t) => {
  const message = { role: 'assistant', content: 'Dear Ann', reasoning: 'She bought a lot.' }
  const { ask } = await startProvider(
    t,
    ({ model }) =>
      model === 'absent'
        ? {
            status: 404,
            body: {
              error: {
                message: 'model "absent" not found, try pulling it first',
                type: 'api_error',
                param: null,
                code: null,
              },
            },
          }
        : said(completion(null, { message })),
    { AI_API_KEY: '' },
  )
  t.strictSame(await ask('qwen3'), { text: 'Dear Ann' })
  t.match(await ask('absent'), {
    reason: 'http_error',
    provider: {
      status: 404,
      code: 'api_error',
      message: 'model "absent" not found, try pulling it first',
    },
  })
})

t.test('vLLM: both limits refused, then the role system, then it answers', async (t) => {
  const strict = (request: ChatRequest): Answer => {
    const extra = (['max_completion_tokens', 'max_tokens'] as const).find((name) => name in request)
    const refuse = (message: string): Answer => ({
      status: 400,
      body: { object: 'error', message, type: 'BadRequestError', param: null, code: 400 },
    })
    if (extra !== undefined) {
      return refuse(
        `[{'type': 'extra_forbidden', 'loc': ('body', '${extra}'), 'msg': 'Extra inputs are not permitted'}]`,
      )
    }
    if (request.messages.some(({ role }) => role === 'system')) return refuse('System role not supported')
    return said(HELLO)
  }
  const { ask, requests } = await startProvider(t, strict)
  t.strictSame(await ask(), { text: 'Dear Ann' })
  t.equal(requests().length, 4)
  t.strictSame(requests().at(-1), {
    model: 'gpt-5-mini',
    messages: [{ role: 'user', content: 'You write messages.\n\nThank Ann.' }],
  })
  t.strictSame(await ask(), { text: 'Dear Ann' })
  t.equal(requests().length, 5)
})

t.test('OpenRouter: own headers, and an error under a status of 200', async (t) => {
  const headers = { 'HTTP-Referer': 'https://shop.example', 'X-Title': 'Shop' }
  const { ask, receiver } = await startProvider(
    t,
    ({ model }) =>
      model === 'poor'
        ? { status: 402, body: { error: { code: 402, message: 'Insufficient credits' } } }
        : { body: { error: { code: 502, message: 'Provider returned error', metadata: {} } } },
    { AI_HEADERS: JSON.stringify(headers) },
  )
  t.match(await ask(), {
    reason: 'http_error',
    provider: { status: null, message: 'Provider returned error' },
  })
  t.match(await ask('poor'), {
    reason: 'http_error',
    provider: { status: 402, message: 'Insufficient credits' },
  })
  t.match(receiver.received[0]?.headers, { 'http-referer': 'https://shop.example', 'x-title': 'Shop' })
})

t.test('what is refused for other reasons is asked once, and told without secrets', async (t) => {
  const cases: [Answer, object][] = [
    [
      {
        status: 401,
        body: {
          error: {
            message: `Incorrect API key provided: ${KEY}.\n\u0007You can find it in your account.`,
            type: 'invalid_request_error',
            param: null,
            code: 'invalid_api_key',
          },
        },
      },
      { status: 401, code: 'invalid_api_key', message: /^Incorrect API key provided: \[redacted\]/ },
    ],
    [
      { status: 400, body: { error: { message: 'max_tokens is too large: 9000', code: 'invalid_value' } } },
      { status: 400, code: 'invalid_value' },
    ],
    [{ status: 429, body: { error: { message: 'Rate limit reached', type: 'tokens' } } }, { status: 429 }],
    [
      { status: 500, body: '<html>' },
      { status: 500, code: null, message: 'it says nothing of why' },
    ],
    [{ status: 400, body: { error: 'plain words' } }, { message: 'plain words' }],
    [
      { status: 400, body: { error: { message: 'x'.repeat(5_000), code: 'y z' } } },
      { code: null, message: /^x{300}$/ },
    ],
    [unsupported('temperature', ''), { code: 'unsupported_parameter' }],
  ]
  for (const [answer, provider] of cases) {
    const { ask, requests } = await startProvider(t, () => answer)
    const told = await ask()
    t.match(told, { reason: 'http_error', provider }, JSON.stringify(answer).slice(0, 200))
    t.notMatch(JSON.stringify(told), KEY)
    t.equal(requests().length, 1)
  }
})

t.test('an endpoint that refuses whatever is asked is not asked without end', async (t) => {
  const { ask, requests } = await startProvider(t, () => unsupported('max_completion_tokens', ''))
  t.match(await ask(), { reason: 'http_error', provider: { code: 'unsupported_parameter' } })
  t.ok(requests().length <= 5)
})

t.test('headers that are none are refused at the start', async (t) => {
  for (const headers of ['x', '[]', '{"a":5}', '{"content-type":"a"}', '{"a b":"c"}', '{"a":"b\\nc"}']) {
    t.throws(() => loadConfig({ AI_HEADERS: headers }, null), /AI_HEADERS/, headers)
  }
  t.throws(() => loadConfig({ AI_KEY_HEADER: 'a b' }, null), /AI_KEY_HEADER/)
})

t.test('the doctor asks each model once, and says what is wrong with one', async (t) => {
  const { environment } = await startProvider(
    t,
    ({ model }) =>
      model === 'good'
        ? said(HELLO)
        : { status: 404, body: { error: { message: 'no such model', code: 'model_not_found' } } },
    { AI_MODEL: 'good,bad' },
  )
  const run = (env: Record<string, string>) =>
    aiCheck.run({ config: loadConfig(env) } as unknown as DoctorContext)
  t.match(await run(environment), [
    { status: 'ok', detail: 'good answers.' },
    { status: 'failed', detail: /bad does not answer: http_error, .*no such model/ },
  ])
  t.match(await run({}), [{ status: 'ok', detail: /AI_BASE_URL/ }])
})
