import Fastify from 'fastify'
import pg from 'pg'
import t from 'tap'
import problems, { toProblem } from '#infra/http/problems.ts'
import { createLogger } from '#infra/logger.ts'
import { defineProblem } from '#lib/api/problem.ts'
import { startApp } from '#test/support/app.ts'

const outOfTea = defineProblem('out_of_tea', 503, 'There is no tea', 'Come back later.')

/** A service whose only route throws this, and its log. */
async function throwing(error: unknown) {
  const lines: Record<string, unknown>[] = []
  const app = Fastify({
    loggerInstance: createLogger('error', {
      write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[0]),
    }),
  })
  await app.register(problems)
  app.get('/', async () => {
    throw error
  })
  return { answer: await app.inject('/'), lines }
}

function databaseError(fields: Partial<pg.DatabaseError>): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError(fields.message ?? 'bad', 3, 'error'), fields)
}

t.test('a problem is answered as it is', async (t) => {
  const { answer, lines } = await throwing(outOfTea('Not even green.', { extensions: { kettle: 'cold' } }))
  t.same(lines, [], 'it was said on purpose, and is no error')
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['content-type'], 'application/problem+json')
  t.equal(answer.headers['retry-after'], '1', 'a 503 always says when to come back')
  t.match(answer.json(), {
    code: 'out_of_tea',
    detail: 'Not even green.',
    kettle: 'cold',
    request_id: String,
  })
})

t.test(
  'what nobody foresaw is a 500 that tells nothing, and a log line that tells all but values',
  async (t) => {
    const { answer, lines } = await throwing(
      databaseError({
        message: 'duplicate key value violates unique constraint "plugins_tenant_id_slug_key"',
        code: '23505',
        severity: 'ERROR',
        detail: 'Key (slug)=(s3cret) already exists.',
        where: 's3cret',
      }),
    )
    t.equal(answer.statusCode, 500)
    t.equal(answer.json<{ code: string }>().code, 'internal_error')
    for (const part of ['plugins_tenant_id', '23505', 's3cret', '.ts']) t.notMatch(answer.body, part)
    t.equal(lines.length, 1)
    t.match(lines[0], { level: 'error', err: { code: '23505', message: /duplicate key/, stack: String } })
    t.notMatch(JSON.stringify(lines), 's3cret')
  },
)

t.test('messages that quote values are not logged', async (t) => {
  const { lines } = await throwing(
    databaseError({
      message: 'invalid input syntax for type uuid: "s3cret"',
      code: '22P02',
      severity: 'ERROR',
    }),
  )
  t.match(lines[0], { err: { message: 'data exception 22P02' } })
  t.notMatch(JSON.stringify(lines), 's3cret')
})

t.test('things that are thrown without being errors are a 500 as well', async (t) => {
  for (const thing of ['text', 42, { statusCode: 500, secret: 's3cret' }]) {
    const { answer, lines } = await throwing(thing)
    t.equal(answer.statusCode, 500)
    t.notMatch(answer.body + JSON.stringify(lines), 's3cret')
  }
})

t.test('a database that is away is a 503, whatever wraps the error', async (t) => {
  const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  t.equal(toProblem(away).code, 'database_unavailable')
  t.equal(toProblem(new Error('wrapped', { cause: away })).code, 'database_unavailable')
  t.equal(
    toProblem(databaseError({ code: '57P01', message: 'terminating connection' })).code,
    'database_unavailable',
  )
})

t.test('errors of the framework become problems of the same status', async (t) => {
  const codeOf = (code: string, statusCode: number): string =>
    toProblem(Object.assign(new Error('x'), { code, statusCode })).code
  t.equal(codeOf('FST_ERR_CTP_BODY_TOO_LARGE', 413), 'payload_too_large')
  t.equal(codeOf('FST_ERR_CTP_INVALID_MEDIA_TYPE', 415), 'unsupported_media_type')
  t.equal(codeOf('FST_ERR_CTP_EMPTY_JSON_BODY', 400), 'invalid_json')
  t.equal(codeOf('FST_ERR_CTP_INVALID_CONTENT_LENGTH', 400), 'invalid_request')
  t.equal(codeOf('FST_ERR_BAD_URL', 400), 'invalid_request')
  t.equal(codeOf('SOMETHING_NEW', 418), 'invalid_request')
  t.equal(codeOf('SOMETHING_NEW', 503), 'internal_error')
})

t.test('each field that is wrong is named by a pointer', async (t) => {
  const app = Fastify()
  await app.register(problems)
  app.post(
    '/:id',
    {
      schema: {
        params: { type: 'object', properties: { id: { type: 'integer' } } },
        body: {
          type: 'object',
          required: ['name'],
          additionalProperties: false,
          properties: { name: { type: 'string' }, size: { enum: ['s', 'm'] }, 'a/b': { type: 'string' } },
        },
      },
    },
    async () => 'fine',
  )
  const errorsOf = async (url: string, payload: object): Promise<unknown> =>
    (await app.inject({ method: 'POST', url, payload })).json<{ errors: unknown }>().errors
  t.strictSame(await errorsOf('/1', {}), [{ pointer: '/name', detail: 'is required' }])
  t.strictSame(await errorsOf('/1', { name: 'x', size: 'xl' }), [
    { pointer: '/size', detail: 'must be one of: s, m' },
  ])
  t.match(await errorsOf('/1', { name: 'x', 'a/b': {} }), [{ pointer: '/a~1b' }])
  t.match(await errorsOf('/x', { name: 'x' }), [{ pointer: '/params/id' }])
})

t.test("a problem's type is an address where its meaning is found", async (t) => {
  const { app } = await startApp(t)
  const problem = (await app.inject('/nowhere')).json<{ type: string; code: string }>()
  const [path = '', anchor = ''] = problem.type.split('#')
  const page = await app.inject(path)
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.body, `id="${anchor}"`)
  t.equal(anchor, problem.code)
})
