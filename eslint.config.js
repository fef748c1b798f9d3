import boundaries from 'eslint-plugin-boundaries'
import tseslint from 'typescript-eslint'

/** The only files that may open outgoing HTTP connections (docs/adr/0002-one-door-for-outgoing-http.md). */
const EGRESS_DOOR = ['src/infra/egress.ts', 'src/infra/egress/**/*.ts']

export default tseslint.config(
  { ignores: ['node_modules/', '.tap/', '.data/', 'db/generated.ts'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // Fastify plugins are async by contract even when they await nothing.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // `t.test()` returns a promise that tap itself tracks.
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', name: ['test', 'rejects'], package: '@tapjs/core' }] },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: EGRESS_DOOR,
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'fetch', message: 'Outgoing HTTP goes through infra/egress.' },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: ['http', 'https', 'http2', 'net', 'tls', 'undici'].flatMap((name) =>
            [name, `node:${name}`].map((path) => ({
              name: path,
              message: 'Outgoing HTTP goes through infra/egress.',
            })),
          ),
        },
      ],
    },
  },
  {
    files: ['src/**/*.ts', 'db/**/*.ts'],
    plugins: { boundaries },
    settings: {
      'boundaries/include': ['src/**/*.ts', 'db/**/*.ts'],
      'boundaries/elements': [
        { type: 'root', mode: 'full', pattern: 'src/*.ts' },
        { type: 'infra', mode: 'full', pattern: ['src/infra/*.ts', 'src/infra/*/**/*.ts'] },
        { type: 'lib', mode: 'full', pattern: ['src/lib/*.ts', 'src/lib/*/**/*.ts'] },
        { type: 'module', mode: 'full', pattern: 'src/modules/*/**/*.ts', capture: ['name'] },
        { type: 'db', mode: 'full', pattern: ['db/*.ts', 'db/**/*.ts'] },
      ],
    },
    rules: {},
  },
)
