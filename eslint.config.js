import boundaries from 'eslint-plugin-boundaries'
import svelte from 'eslint-plugin-svelte'
import tseslint from 'typescript-eslint'

/** The only files that may open outgoing HTTP connections (docs/adr/0002-one-door-for-outgoing-http.md). */
const EGRESS_DOOR = ['src/infra/egress/**/*.ts']

const HTTP_CLIENTS = ['http', 'https', 'http2', 'net', 'tls', 'undici']
  .flatMap((name) => [name, `node:${name}`])
  .map((name) => ({
    name,
    message: 'Outgoing HTTP goes through infra/egress.',
    allowTypeImports: true,
    // They look at an address and connect to nothing.
    ...(name.endsWith('net') && { allowImportNames: ['isIP', 'isIPv4', 'isIPv6', 'BlockList'] }),
  }))

const FILES = ['fs', 'fs/promises']
  .flatMap((name) => [name, `node:${name}`])
  .map((name) => ({ name, message: 'src/lib does no I/O: take what was read as a parameter.' }))

const DATABASE_CLIENTS = ['kysely', 'pg'].map((name) => ({
  name,
  message: 'Routes never see the database: that is the repository, behind the service.',
}))

const ENVIRONMENT = {
  object: 'process',
  property: 'env',
  message: 'The environment is read by src/config/config.ts alone.',
}

const INEXACT_JSON = {
  object: 'JSON',
  property: 'parse',
  message:
    'It rounds numbers: read what is stored with db/json.ts, and what comes in with src/lib/json/index.ts.',
}

const HOST_CLOCK = {
  object: 'Date',
  property: 'now',
  message: "A host's clock may be wrong: now() of src/lib/clock.ts follows the database's.",
}

const TENANT_VERSION = '(subscriptions|actions|flows)_version'
const VERSION_WRITES = [
  `ObjectExpression > Property[key.name=/^${TENANT_VERSION}$/]`,
  `TemplateElement[value.raw=/(set|,)\\s+${TENANT_VERSION}\\s*=/]`,
].map((selector) => ({
  selector,
  message: 'Versions of tenants are raised by src/infra/tenant-versions.ts alone.',
}))

/**
 * Who may hold SQL beside `*repository.ts`, because a repository of their own would be an empty ceremony.
 * Nobody else: what a service, worker or cache asks of the database is a function of the repository beside it.
 */
const SQL_HOLDERS = [
  // Repositories under the name of what they keep: nothing but statements stands in them.
  'src/infra/{audit,tenant-versions}.ts',
  // LISTEN and NOTIFY on a connection of its own: the two statements are the mechanism.
  'src/infra/signals.ts',
  // They look at a database from outside of the service, with a question or two each.
  'src/*-cli.ts',
  'src/doctor/*.ts',
  'src/config/database.ts',
]

const QUERY_STARTERS = [
  'selectFrom',
  'selectNoFrom',
  'insertInto',
  'replaceInto',
  'updateTable',
  'deleteFrom',
  'mergeInto',
  'query',
]
const SQL_TEXT = String.raw`/^\s*(select|with|insert into|update|delete from)\s[^.]*\s(from|set|values|as)\s/`

const SQL = [
  'TaggedTemplateExpression[tag.name="sql"]',
  'CallExpression[callee.object.name="sql"]',
  `CallExpression[callee.property.name=/^(${QUERY_STARTERS.join('|')})$/]`,
  // Text that a driver would run.
  `TemplateElement[value.raw=${SQL_TEXT}]`,
  `Literal[value=${SQL_TEXT}]`,
].map((selector) => ({
  selector,
  message: 'SQL stands in *repository.ts: make it a function of the repository of its subject.',
}))

/** One way to mount routes (docs/architecture.md): what a file of routes changes in its scope stays there. */
const MOUNTING = [
  'CallExpression[callee.name=/Routes$/][arguments.0.name!="routes"]',
  'CallExpression[callee.property.name="register"] > Identifier[name=/Routes$/]',
].map((selector) => ({
  selector,
  message:
    'Mount routes in a scope of their own: await app.register(async (routes) => keyRoutes(routes, ctx)).',
}))

const WEB_FRAMEWORK = ['fastify', 'fastify-plugin'].map((name) => ({
  name,
  message: 'Services and repositories never see a request: take what they need as parameters.',
  ...(name === 'fastify' && { allowImportNames: ['FastifyBaseLogger'] }),
}))

/** Relative paths stay close; what lies further away is named by the import table of package.json. */
const CLIMBING = {
  regex: '^(\\.\\./){2}',
  message: 'Name what lies two folders up or more by its # import (package.json, "imports").',
}

/** Which package of src/lib may import which other. Files right under src/lib are for all of them. */
const PACKAGE_IMPORTS = [
  { from: '{schema,template,condition,secrets,flow}', to: 'json' },
  { from: 'template', to: 'condition' },
  { from: 'flow', to: '{schema,template,condition,secrets}' },
]

/**
 * `no-restricted-imports` of a later block replaces that of an earlier one, so each says all that holds for it.
 * @param {{ name: string }[]} paths
 * @param {{ regex: string, message: string }[]} patterns
 */
function restrictImports(paths, patterns = []) {
  return {
    '@typescript-eslint/no-restricted-imports': ['error', { paths, patterns: [...patterns, CLIMBING] }],
  }
}

/** Who may import which other module, and of that only its index.ts. The graph has no cycles. */
const MODULE_IMPORTS = [
  { from: '!(event)', to: 'event' },
  { from: 'plugin', to: 'webhook-delivery' },
  { from: '{replay,registry,capability}', to: 'plugin' },
  { from: 'capability', to: '{registry,webhook-delivery}' },
  { from: 'stats', to: '{plugin,flow-engine}' },
  { from: 'portal', to: 'key' },
  { from: 'operation', to: 'webhook-delivery' },
  { from: 'session', to: 'portal' },
  { from: 'tenant', to: 'platform' },
  { from: 'dispatcher', to: '{registry,platform,webhook-delivery}' },
  { from: 'flow-engine', to: '{dispatcher,message,connection,variable}' },
  { from: 'flow-trigger', to: '{flow-engine,connection}' },
  { from: 'flow', to: 'flow-trigger' },
  { from: 'flow', to: '{flow-engine,registry,platform,connection,variable}' },
  { from: 'flow-template', to: 'flow' },
  { from: 'execution', to: '{flow,flow-engine}' },
  { from: 'erasure', to: 'flow-engine' },
  { from: 'automation', to: '{flow,flow-template,flow-engine,platform}' },
]

const STRICT_RULES = {
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
  // Fastify plugins are async by contract even when they await nothing.
  '@typescript-eslint/require-await': 'off',
  '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
  '@typescript-eslint/consistent-type-imports': 'error',
  '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
}

/** The console takes from the service what is pure, and the types of its API. */
const OUTSIDE_CONSOLE = {
  regex: '^#(?!lib/)|/src/(?!lib/)|^(\\.\\./)+(bench|db|examples|openapi|test|tools)/',
  message: 'Of the service the console may import src/lib alone; everything else it asks the API for.',
}

/** @param {string} type */
const element = (type) => ({ element: { type } })

export default tseslint.config(
  {
    ignores: [
      'node_modules/',
      '.tap/',
      '.data/',
      'db/generated.ts',
      'console/dist/',
      'console/src/api/schema.d.ts',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: STRICT_RULES,
  },
  {
    files: ['console/src/**/*.{svelte,ts}'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: true,
        tsconfigRootDir: import.meta.dirname,
        extraFileExtensions: ['.svelte'],
      },
    },
    rules: {
      ...STRICT_RULES,
      'no-restricted-imports': ['error', { patterns: [OUTSIDE_CONSOLE] }],
    },
  },
  ...svelte.configs.recommended.map((config) => ({
    ...config,
    files: ['console/**/*.svelte', 'console/**/*.svelte.ts'],
  })),
  {
    files: ['console/**/*.svelte', 'console/**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: tseslint.parser } },
  },
  {
    files: ['console/**/*.svelte'],
    // Values of snippets and events have no type here; svelte-check knows them.
    rules: Object.fromEntries(
      [
        ...['argument', 'assignment', 'call', 'member-access', 'return'].map((of) => `no-unsafe-${of}`),
        'no-redundant-type-constituents',
      ].map((rule) => [`@typescript-eslint/${rule}`, 'off']),
    ),
  },
  {
    files: ['console/**/*.{svelte,ts}'],
    plugins: { svelte },
    rules: {
      // Texts of a shop never become markup, and styles are the policy's business (src/infra/http/console.ts).
      'svelte/no-at-html-tags': 'error',
      // Links are plain addresses, made by `to` of the console's own router.
      'svelte/no-navigation-without-resolve': 'off',
      // Of a component's properties some are bound and the others are not: one declaration takes them all.
      'prefer-const': ['error', { destructuring: 'all' }],
      // Addresses are made, read and thrown away: none is state.
      'svelte/prefer-svelte-reactivity': 'off',
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // `t.test()` returns a promise that tap itself tracks.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafePromises: [
            { from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' },
          ],
        },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: EGRESS_DOOR,
    rules: {
      'no-restricted-globals': [
        'error',
        ...['fetch', 'WebSocket', 'EventSource'].map((name) => ({
          name,
          message: 'Outgoing HTTP goes through infra/egress.',
        })),
      ],
      ...restrictImports(HTTP_CLIENTS),
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/config/config.ts'],
    rules: {
      'no-restricted-properties': ['error', ENVIRONMENT],
    },
  },
  {
    files: ['src/modules/**/*.ts'],
    rules: { 'no-restricted-properties': ['error', ENVIRONMENT, INEXACT_JSON, HOST_CLOCK] },
  },
  {
    files: ['src/lib/**/*.ts'],
    ignores: ['src/lib/clock.ts'],
    rules: { 'no-restricted-properties': ['error', ENVIRONMENT, HOST_CLOCK] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/infra/tenant-versions.ts'],
    rules: { 'no-restricted-syntax': ['error', ...VERSION_WRITES, ...SQL, ...MOUNTING] },
  },
  {
    files: ['src/**/*repository.ts', ...SQL_HOLDERS],
    ignores: ['src/infra/tenant-versions.ts'],
    rules: { 'no-restricted-syntax': ['error', ...VERSION_WRITES] },
  },
  {
    files: ['src/lib/**/*.ts'],
    rules: restrictImports([...HTTP_CLIENTS, ...FILES, ...DATABASE_CLIENTS, ...WEB_FRAMEWORK]),
  },
  {
    files: ['src/modules/*/**/*routes.ts'],
    rules: restrictImports(
      [...HTTP_CLIENTS, ...DATABASE_CLIENTS],
      [
        {
          regex: '(repository|[/#]db/[^/]+)\\.ts$',
          message: 'Routes reach the database through the service only.',
        },
      ],
    ),
  },
  {
    files: ['src/modules/*/**/*{service,repository}.ts'],
    rules: restrictImports([...HTTP_CLIENTS, ...WEB_FRAMEWORK]),
  },
  {
    files: ['src/**/*.ts', 'db/**/*.ts', 'tools/**/*.ts'],
    plugins: { boundaries },
    settings: {
      'import/resolver': { './tools/lint/import-resolver.cjs': {}, node: {} },
      'boundaries/include': ['src/**/*.ts', 'db/**/*.ts', 'tools/**/*.ts'],
      'boundaries/elements': [
        { type: 'package', pattern: 'src/lib/*', capture: ['name'], partialMatch: false },
        { type: 'lib', pattern: 'src/lib', partialMatch: false },
        { type: 'infra', pattern: 'src/infra', partialMatch: false },
        { type: 'module', pattern: 'src/modules/*', capture: ['name'], partialMatch: false },
        { type: 'db', pattern: 'db', partialMatch: false },
        { type: 'tool', pattern: 'tools/*', capture: ['name'], partialMatch: false },
        { type: 'root', pattern: 'src', partialMatch: false },
        { type: 'root', pattern: 'src/doctor', partialMatch: false },
        { type: 'config', pattern: 'src/config', partialMatch: false },
      ],
      'boundaries/files': [
        { category: 'config', pattern: 'src/config/config.ts' },
        { category: 'exact-json', pattern: 'db/json.ts' },
      ],
    },
    rules: {
      'boundaries/no-unknown-files': 'error',
      'boundaries/dependencies': [
        'error',
        {
          default: 'disallow',
          message:
            'a package of lib → itself and those below it; infra → infra, lib, db; a module → itself, those, and the index.ts of modules below it.',
          policies: [
            // Packages and Node's own modules are other rules' business.
            { allow: { to: { module: { origin: ['external', 'core'] } } } },
            { from: element('root'), allow: { to: { element: { type: '*' } } } },
            { from: element('config'), allow: { to: { element: { type: '{config,lib,package,db,tool}' } } } },
            { from: element('db'), allow: { to: { element: { type: '{db,tool}' } } } },
            // The one border of JSON (db/json.ts) reads as intake does.
            {
              from: { file: { categories: 'exact-json' } },
              allow: { to: { element: { type: 'package', captured: { name: 'json' } } } },
            },
            {
              from: element('tool'),
              allow: {
                to: { element: { type: 'tool', captured: { name: '{{from.element.captured.name}}' } } },
              },
            },
            { from: element('lib'), allow: { to: { element: { type: '{lib,package}' } } } },
            { from: element('package'), allow: { to: element('lib') } },
            {
              from: element('package'),
              allow: {
                to: { element: { type: 'package', captured: { name: '{{from.element.captured.name}}' } } },
              },
            },
            ...PACKAGE_IMPORTS.map(({ from, to }) => ({
              from: { element: { type: 'package', captured: { name: from } } },
              allow: { to: { element: { type: 'package', captured: { name: to } } } },
            })),
            {
              from: { element: { type: '{infra,module}' } },
              allow: { to: { element: { type: '{infra,lib,package,db}' } } },
            },
            {
              from: { element: { type: '{infra,module}' } },
              allow: { to: { file: { categories: 'config' } } },
            },
            {
              from: element('module'),
              allow: {
                to: { element: { type: 'module', captured: { name: '{{from.element.captured.name}}' } } },
              },
            },
            ...MODULE_IMPORTS.map(({ from, to }) => ({
              from: { element: { type: 'module', captured: { name: from } } },
              allow: {
                to: { element: { type: 'module', captured: { name: to }, fileInternalPath: 'index.ts' } },
              },
            })),
          ],
        },
      ],
    },
  },
)
