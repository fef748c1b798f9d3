import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { glob } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { cruise, type ICruiseOptions, type ICruiseResult } from 'dependency-cruiser'
import t from 'tap'
import ts from 'typescript'
import { SLOW_FILES } from './slow-files.ts'

const ROOT = resolve(import.meta.dirname, '..')
const FOLDERS = ['src', 'db', 'tools', 'openapi', 'bench', 'examples', 'test']

interface SourceFile {
  /** Names of values, and of all that it passes on from other files; its own types are left out. */
  exports: Set<string>
  /** By imported file, absolute: the names; `*` stands for all. */
  imports: Map<string, Set<string>>
  /** As they are written. */
  specifiers: Set<string>
}

/** Reads what a file exports and imports, without checking types. */
async function readSource(file: string): Promise<SourceFile> {
  const tree = ts.createSourceFile(file, await readFile(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const source: SourceFile = { exports: new Set(), imports: new Map(), specifiers: new Set() }
  const { resolve: resolveFrom } = createRequire(file)
  const use = (specifier: ts.Node | undefined, ...names: string[]): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    source.specifiers.add(specifier.text)
    if (!/^[.#]/.test(specifier.text)) return
    // A bundler takes what it is to do with a file behind a question mark.
    const target = resolveFrom(specifier.text.replace(/\?.*/, ''))
    source.imports.set(target, (source.imports.get(target) ?? new Set()).union(new Set(names)))
  }
  const nameOf = ({ propertyName, name }: ts.ImportSpecifier | ts.ExportSpecifier): string =>
    (propertyName ?? name).text

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { name, namedBindings } = node.importClause ?? {}
      const named = namedBindings !== undefined && ts.isNamedImports(namedBindings)
      use(
        node.moduleSpecifier,
        ...(name === undefined ? [] : ['default']),
        ...(named ? namedBindings.elements.map(nameOf) : namedBindings === undefined ? [] : ['*']),
      )
    } else if (ts.isExportDeclaration(node)) {
      const { exportClause } = node
      if (exportClause === undefined || !ts.isNamedExports(exportClause)) use(node.moduleSpecifier, '*')
      else {
        use(node.moduleSpecifier, ...exportClause.elements.map(nameOf))
        for (const { name } of exportClause.elements) source.exports.add(name.text)
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      use(node.arguments[0], '*')
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  for (const statement of tree.statements)
    for (const name of exportedValues(statement)) source.exports.add(name)
  return source
}

function exportedValues(statement: ts.Statement): string[] {
  const kinds = ts.canHaveModifiers(statement)
    ? (ts.getModifiers(statement) ?? []).map(({ kind }) => kind)
    : []
  if (!kinds.includes(ts.SyntaxKind.ExportKeyword) || kinds.includes(ts.SyntaxKind.DefaultKeyword)) return []
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText())
  }
  const named = ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)
  return named && statement.name !== undefined ? [statement.name.text] : []
}

/**
 * Reads the console's sources. Their imports count as uses; their exports are looked at by the console's own checks.
 */
async function readConsole(): Promise<SourceFile[]> {
  const folder = join(ROOT, 'console/src')
  const files = await Array.fromAsync(glob('**/*.ts', { cwd: folder }))
  return Promise.all(files.map(async (file) => readSource(join(folder, file))))
}

async function readAll(): Promise<Map<string, SourceFile>> {
  const sources = new Map<string, SourceFile>()
  for (const folder of FOLDERS) {
    for await (const file of glob('**/*.ts', { cwd: join(ROOT, folder) })) {
      const path = join(ROOT, folder, file)
      sources.set(path, await readSource(path))
    }
  }
  return sources
}

t.test(
  'every exported value is imported somewhere, and every # name of the import table is used',
  async (t) => {
    const sources = await readAll()
    t.ok(sources.size > 500)
    const used = new Map<string, Set<string>>()
    for (const { imports } of [...sources.values(), ...(await readConsole())]) {
      for (const [file, names] of imports) used.set(file, (used.get(file) ?? new Set()).union(names))
    }
    const unused: string[] = []
    for (const [file, { exports }] of sources) {
      const names = used.get(file) ?? new Set<string>()
      if (names.has('*')) continue
      for (const name of exports.difference(names)) unused.push(`${relative(ROOT, file)}: ${name}`)
    }
    t.strictSame(unused, [])

    const { imports: table } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
      imports: Record<string, string>
    }
    const specifiers = [...sources.values()].flatMap(({ specifiers }) => [...specifiers])
    t.strictSame(
      Object.keys(table).filter((name) => !specifiers.some((one) => one.startsWith(name.replace('*', '')))),
      [],
    )
  },
)

/** Marks of a file that starts a process, a browser or a server. */
const STARTERS = [
  'node:child_process',
  ...['browser', 'pgbouncer', 'replicated-postgres', 'run-cli', 'serve', 'service-process'].map(
    (name) => `test/support/${name}.ts`,
  ),
]

t.test(
  'npm run test:quick leaves out every file that starts something of its own, and no other by mistake',
  async (t) => {
    const left = new Set<string>()
    for (const pattern of SLOW_FILES.flatMap(({ files }) => files)) {
      const found = await Array.fromAsync(glob(pattern, { cwd: ROOT }))
      t.ok(found.length > 0, `${pattern} is there`)
      for (const file of found) {
        t.notOk(left.has(file), `${file} is named once`)
        left.add(file)
      }
    }
    const missing: string[] = []
    for await (const file of glob('test/**/*.test.ts', { cwd: ROOT })) {
      const { imports, specifiers } = await readSource(join(ROOT, file))
      const used = [...specifiers, ...[...imports.keys()].map((path) => relative(ROOT, path))]
      const names = [...imports.values()].flatMap((each) => [...each])
      const starts =
        used.some((one) => STARTERS.includes(one)) || names.some((name) => /PrivatePostgres$/.test(name))
      if (starts && !left.has(file)) missing.push(file)
    }
    t.strictSame(missing, [], 'add these to test/slow-files.ts')
  },
)

t.test('files that import each other, or nobody, are refused by npm run check:imports', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-imports-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'one.ts'), `import type { Two } from './two.ts'\nexport type One = Two\n`)
  await writeFile(join(folder, 'two.ts'), `import type { One } from './one.ts'\nexport type Two = One\n`)
  await writeFile(join(folder, 'alone.ts'), `export const alone = true\n`)
  const { forbidden, options } = JSON.parse(
    await readFile(join(ROOT, '.dependency-cruiser.json'), 'utf8'),
  ) as { forbidden: []; options: ICruiseOptions }
  const { tsPreCompilationDeps } = options
  const { output } = await cruise(['.'], {
    baseDir: folder,
    validate: true,
    ruleSet: { forbidden },
    ...(tsPreCompilationDeps === undefined ? {} : { tsPreCompilationDeps }),
  })
  const { violations } = (output as ICruiseResult).summary
  t.strictSame([...new Set(violations.map(({ rule, from }) => `${rule.name} ${from}`))].sort(), [
    'no-circular one.ts',
    'no-orphans alone.ts',
  ])
})

t.test('docs/architecture.md names places that there are, and every table', async (t) => {
  const text = await readFile(join(ROOT, 'docs/architecture.md'), 'utf8')
  const files: string[] = []
  for (const folder of [...FOLDERS, 'console']) {
    for await (const file of glob('**/*', { cwd: join(ROOT, folder) })) files.push(`/${folder}/${file}`)
  }
  const places = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)+|[\w-]+\.ts)`/g)].map(([, place = '']) => place)
  t.ok(places.length > 100)
  // A path such as start/enqueue.ts is told below the folder that the sentence is about.
  const isThere = (place: string): boolean => files.some((file) => file.endsWith(`/${place}`))
  t.strictSame(
    places.filter((place) => !isThere(place)),
    [],
  )

  const generated = await readFile(join(ROOT, 'db/generated.ts'), 'utf8')
  const [, tables = ''] = /export interface DB \{\n([^}]*)\}/.exec(generated) ?? []
  const names = [...tables.matchAll(/^ {2}(\w+):/gm)].map(([, name = '']) => name)
  t.ok(names.length > 20)
  const [, section = ''] = text.split('\n## Tables\n')
  t.strictSame(
    names.filter((name) => !section.includes(`\`${name}\``)),
    [],
  )
})

/** The platform's documents, which are no part of the checkout, and a form of names. */
const NAMED_ELSEWHERE = ['simplified-architecture.md', 'flow-design.md', 'overview.md', 'NNNN_name.sql']

t.test('comments name files that there are', async (t) => {
  const files: string[] = []
  for (const folder of [...FOLDERS, 'console', 'docs']) {
    for await (const file of glob('**/*.*', { cwd: join(ROOT, folder) })) files.push(`/${folder}/${file}`)
  }
  for await (const file of glob('*.*', { cwd: ROOT })) files.push(`/${file}`)
  const known = [...files, ...NAMED_ELSEWHERE.map((name) => `/${name}`)]
  const lost: string[] = []
  let named = 0
  for (const file of files.filter((path) => path.endsWith('.ts'))) {
    for (const line of (await readFile(join(ROOT, file), 'utf8')).split('\n')) {
      if (!/^\s*(?:\/?\*|\/\/)/.test(line)) continue
      for (const [, name = ''] of line.matchAll(
        /(?<![\w./-])((?:[\w-]+\/)*[\w-]+\.(?:ts|sql|cjs|md))\b(?!\/)/g,
      )) {
        named++
        if (!known.some((path) => path.endsWith(`/${name}`))) lost.push(`${file}: ${name}`)
      }
    }
  }
  t.ok(named > 50)
  t.strictSame(lost, [])
})
