import { ESLint } from 'eslint'
import t from 'tap'

// Type information needs files that exist; the borders do not.
const eslint = new ESLint({
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: { parserOptions: { projectService: false, project: false } },
    },
  ],
  ruleFilter: ({ ruleId }) => BORDER_RULES.has(ruleId),
})

const BORDER_RULES = new Set([
  'boundaries/dependencies',
  'boundaries/no-unknown-files',
  'no-restricted-globals',
  'no-restricted-imports',
  'no-restricted-properties',
  'no-restricted-syntax',
  '@typescript-eslint/no-restricted-imports',
])

/** The border rules that a file of this name and text breaks. */
async function broken(filePath: string, text: string): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath })
  for (const { fatal, message } of result?.messages ?? []) if (fatal === true) throw new Error(message)
  return [...new Set(result?.messages.map(({ ruleId }) => String(ruleId)))]
}

const BOUNDARIES = ['boundaries/dependencies']
const IMPORTS = ['@typescript-eslint/no-restricted-imports']

const SYNTAX = ['no-restricted-syntax']

const refused: [sentence: string, file: string, text: string, rules: string[]][] = [
  ['lib imports infra', 'src/lib/x.ts', `import '#infra/http/problems.ts'`, BOUNDARIES],
  ['lib imports db', 'src/lib/x.ts', `import type { DB } from '#db/schema.ts'`, BOUNDARIES],
  ['lib imports the configuration', 'src/lib/x.ts', `import '#config/config.ts'`, BOUNDARIES],
  [
    'a package of lib imports one above it',
    'src/lib/json/x.ts',
    `import '#lib/template/index.ts'`,
    BOUNDARIES,
  ],
  ['templates import flows', 'src/lib/template/x.ts', `import '#lib/flow/index.ts'`, BOUNDARIES],
  ['a tool imports the service', 'tools/embedded-postgres/x.ts', `import '#lib/ids.ts'`, BOUNDARIES],
  [
    "a module reads the host's clock",
    'src/modules/key/x.ts',
    `export const x = Date.now()`,
    ['no-restricted-properties'],
  ],
  ["lib reads the host's clock", 'src/lib/x.ts', `export const x = Date.now()`, ['no-restricted-properties']],
  ['an import climbs two folders', 'src/modules/key/x.ts', `import '../../x.ts'`, IMPORTS],
  [
    "a repository raises a tenant's version",
    'src/modules/key/repository.ts',
    `export const x = { subscriptions_version: 2 }`,
    SYNTAX,
  ],
  [
    "a statement raises a tenant's version",
    'src/modules/key/repository.ts',
    'export const x = `update flow_cursors set flows_version = flows_version + 1`',
    SYNTAX,
  ],
  [
    "a statement raises a tenant's version beside something else",
    'src/modules/key/repository.ts',
    'export const x = `update tenants set updated_at = ${1},\n  actions_version = actions_version + 1`',
    SYNTAX,
  ],
  [
    'a service writes SQL',
    'src/modules/key/service.ts',
    'export const x = sql`select 1`.execute(db)',
    SYNTAX,
  ],
  ['a service writes typed SQL', 'src/modules/key/service.ts', 'export const x = sql<Row>`select 1`', SYNTAX],
  [
    'a cache composes SQL',
    'src/infra/auth/key-cache.ts',
    `export const x = sql.join([sql.ref('id')])`,
    SYNTAX,
  ],
  ...['selectFrom', 'insertInto', 'updateTable', 'deleteFrom'].map(
    (method): [string, string, string, string[]] => [
      `a worker calls ${method}`,
      'src/modules/replay/worker.ts',
      `export const x = db\n  .$if(true, (it) => it)\n  .${method}('events')`,
      SYNTAX,
    ],
  ),
  [
    'a service asks the pool',
    'src/modules/key/service.ts',
    `export const x = await pool.query<{ n: number }>(TEXT)`,
    SYNTAX,
  ],
  [
    'a service holds a statement for others to run',
    'src/modules/key/service.ts',
    'export const TEXT = `\n  update tenants\n  set strict_events = true`',
    SYNTAX,
  ],
  [
    'a plugin of infra asks the database',
    'src/infra/metrics.ts',
    `export const x = app.db.selectFrom('events')`,
    SYNTAX,
  ],
  ['the composition asks the database', 'src/app.ts', `export const x = app.db.selectFrom('events')`, SYNTAX],
  [
    'a module mounts routes in its own scope',
    'src/modules/key/index.ts',
    'export const x = keyRoutes(app, ctx)',
    SYNTAX,
  ],
  [
    'a module mounts routes as a plugin',
    'src/modules/key/index.ts',
    'export const x = app.register(keyRoutes, ctx)',
    SYNTAX,
  ],
  ['lib uses a database driver', 'src/lib/x.ts', `import pg from 'pg'`, IMPORTS],
  ['lib reads files', 'src/lib/x.ts', `import { readFileSync } from 'node:fs'`, IMPORTS],
  ['lib uses Fastify', 'src/lib/x.ts', `import fp from 'fastify-plugin'`, IMPORTS],
  ['infra imports a module', 'src/infra/x.ts', `import '#modules/tenant/index.ts'`, BOUNDARIES],
  ['infra imports the composition root', 'src/infra/x.ts', `import '#src/app.ts'`, BOUNDARIES],
  ['db imports the service', 'db/x.ts', `import '#lib/ids.ts'`, BOUNDARIES],
  [
    "a module imports another one's inside",
    'src/modules/plugin/x.ts',
    `import '#modules/webhook-delivery/log/routes.ts'`,
    BOUNDARIES,
  ],
  [
    'a module imports one that does not stand below it',
    'src/modules/key/x.ts',
    `import '#modules/tenant/index.ts'`,
    BOUNDARIES,
  ],
  [
    'deliveries import plugins, which import deliveries',
    'src/modules/webhook-delivery/x.ts',
    `import '#modules/plugin/repository.ts'`,
    BOUNDARIES,
  ],
  [
    'events import deliveries',
    'src/modules/event/x.ts',
    `import '#modules/webhook-delivery/index.ts'`,
    BOUNDARIES,
  ],
  ['a module imports the composition root', 'src/modules/key/x.ts', `import '#src/app.ts'`, BOUNDARIES],
  ['routes use Kysely', 'src/modules/key/routes.ts', `import { sql } from 'kysely'`, IMPORTS],
  ["routes use Kysely's types", 'src/modules/key/routes.ts', `import type { Kysely } from 'kysely'`, IMPORTS],
  ['routes use a repository', 'src/modules/key/routes.ts', `import './repository.ts'`, IMPORTS],
  ['routes use db', 'src/modules/key/routes.ts', `import type { DB } from '#db/schema.ts'`, IMPORTS],
  [
    'a service knows Fastify',
    'src/modules/key/service.ts',
    `import type { FastifyRequest } from 'fastify'`,
    IMPORTS,
  ],
  [
    'a repository knows Fastify',
    'src/modules/plugin/secrets/repository.ts',
    `import type { FastifyReply } from 'fastify'`,
    IMPORTS,
  ],
  ['a module opens connections', 'src/modules/key/x.ts', `import { request } from 'undici'`, IMPORTS],
  ['a service opens sockets', 'src/modules/key/service.ts', `import { connect } from 'node:net'`, IMPORTS],
  ['infra opens HTTP connections', 'src/infra/health.ts', `import http from 'node:http'`, IMPORTS],
  [
    'a module calls fetch',
    'src/modules/key/x.ts',
    `await fetch('http://example.com')`,
    ['no-restricted-globals'],
  ],
  [
    'a module reads the environment',
    'src/modules/key/x.ts',
    `export const x = process.env['HOME']`,
    ['no-restricted-properties'],
  ],
  [
    'a module reads JSON that rounds numbers',
    'src/modules/key/x.ts',
    `export const x = JSON.parse('1') as unknown`,
    ['no-restricted-properties'],
  ],
  [
    'a module reads it under another name',
    'src/modules/key/x.ts',
    `const { parse } = JSON\nexport const x = parse('1') as unknown`,
    ['no-restricted-properties'],
  ],
  [
    'the entry reads the environment itself',
    'src/server.ts',
    `export const x = process.env.HOME`,
    ['no-restricted-properties'],
  ],
  ...[
    '../../src/infra/changes.ts',
    '#modules/key/index.ts',
    '../../test/support/app.ts',
    '../../db/json.ts',
  ].map((name): [string, string, string, string[]] => [
    `the console imports ${name}`,
    'console/src/x.ts',
    `import '${name}'`,
    ['no-restricted-imports'],
  ]),
]

for (const [sentence, file, text, rules] of refused) {
  t.test(`refused: ${sentence}`, async (t) => {
    t.strictSame(await broken(file, `${text}\n`), rules)
  })
}

t.test('refused: JSON that rounds numbers, and the message says what to use', async (t) => {
  const [result] = await eslint.lintText('export const x = JSON.parse("1") as unknown\n', {
    filePath: 'src/modules/key/service.ts',
  })
  t.match(result?.messages, [{ message: /db\/json\.ts/ }])
})

const allowed: [sentence: string, file: string, text: string][] = [
  ['lib uses lib', 'src/lib/x.ts', `import './ids.ts'`],
  ['flows use conditions', 'src/lib/flow/read/x.ts', `import '#lib/condition/index.ts'`],
  [
    'a package of lib uses itself',
    'src/lib/flow/read/x.ts',
    `import '../problems.ts'\nimport '#lib/time.ts'`,
  ],
  ['a module uses its own folders', 'src/modules/event/feed/x.ts', `import '../intake/match.ts'`],
  [
    'infra uses lib, db, infra and the configuration',
    'src/infra/x.ts',
    `import '#lib/ids.ts'\nimport '#lib/json/index.ts'\nimport '#db/connection.ts'\nimport './http/problems.ts'\nimport '#config/config.ts'`,
  ],
  ['a module uses its own files', 'src/modules/key/routes.ts', `import './service.ts'`],
  [
    'a module uses infra, lib and the configuration',
    'src/modules/key/x.ts',
    `import '#infra/auth/auth.ts'\nimport '#lib/ids.ts'\nimport type { Config } from '#config/config.ts'`,
  ],
  [
    'plugins use deliveries through their index',
    'src/modules/plugin/x.ts',
    `import '#modules/webhook-delivery/index.ts'`,
  ],
  [
    'a repository uses Kysely and db',
    'src/modules/key/repository.ts',
    `import 'kysely'\nimport type { DB } from '#db/schema.ts'`,
  ],
  [
    'a module mounts routes in a scope of their own',
    'src/modules/key/index.ts',
    'export const x = app.register(async (routes) => keyRoutes(routes, ctx))',
  ],
  [
    'a repository asks the database in every way',
    'src/modules/key/key-repository.ts',
    "export const x = [sql<Row>`select 1`, db.selectFrom('events'), pool.query('select id from events')]",
  ],
  [
    'a service calls its repository in a transaction',
    'src/modules/key/service.ts',
    'export const x = db.transaction().execute((trx) => insertKey(trx, select, update))',
  ],
  [
    'a problem speaks of what to select',
    'src/modules/key/errors.ts',
    `export const x = 'Select another key, or update the one from before.'`,
  ],
  [
    'a check of the doctor asks the database',
    'src/doctor/clock.ts',
    `export const x = await pool.query('select 1')`,
  ],
  [
    "the owner of tenants' versions raises them",
    'src/infra/tenant-versions.ts',
    `export const x = { actions_version: 2 }`,
  ],
  [
    "a repository compares a tenant's version",
    'src/modules/key/repository.ts',
    'export const x = `join tenants on tenants.id = s.tenant_id and tenants.subscriptions_version = s.version`',
  ],
  ['a service logs', 'src/modules/key/service.ts', `import type { FastifyBaseLogger } from 'fastify'`],
  ['anybody looks at an address', 'src/modules/key/service.ts', `import { isIP, BlockList } from 'node:net'`],
  [
    'the door opens connections',
    'src/infra/egress/connect.ts',
    `import { connect } from 'node:net'\nimport 'undici'`,
  ],
  [
    'the composition root names every module',
    'src/app.ts',
    `import '#modules/tenant/index.ts'\nimport '#infra/auth/auth.ts'`,
  ],
  ['the configuration reads the environment', 'src/config/config.ts', `export const x = process.env`],
  ['the border of JSON reads as intake does', 'db/json.ts', `import '#lib/json/index.ts'`],
  ['a module writes JSON', 'src/modules/key/x.ts', `export const x = JSON.stringify(1)`],
  [
    'the console uses lib and its own files',
    'console/src/flow/x.ts',
    `import '../../../src/lib/flow/index.ts'\nimport '../api/client.ts'`,
  ],
  ['lib reads JSON', 'src/lib/x.ts', `export const x = JSON.parse('1') as unknown`],
]

for (const [sentence, file, text] of allowed) {
  t.test(`allowed: ${sentence}`, async (t) => {
    t.strictSame(await broken(file, `${text}\n`), [])
  })
}
