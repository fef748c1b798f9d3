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

/** Reads what a file exports and imports, without checking types; of a component, its scripts. */
async function readSource(file: string): Promise<SourceFile> {
  const whole = await readFile(file, 'utf8')
  const scripts = whole.matchAll(/<script[^>]*>(.*?)<\/script>/gs)
  const text = file.endsWith('.svelte') ? [...scripts].map(([, script]) => script).join('\n') : whole
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
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

async function readConsole(): Promise<Map<string, SourceFile>> {
  const folder = join(ROOT, 'console/src')
  const sources = new Map<string, SourceFile>()
  for await (const file of glob('**/*.{ts,svelte}', { cwd: folder })) {
    const path = join(folder, file)
    sources.set(path, await readSource(path))
  }
  return sources
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
    const ofConsole = await readConsole()
    // A component exports what whoever shows it may call, by the element.
    const exporting = [...ofConsole].filter(([file]) => !file.endsWith('.svelte'))
    for (const { imports } of [...sources.values(), ...ofConsole.values()]) {
      for (const [file, names] of imports) used.set(file, (used.get(file) ?? new Set()).union(names))
    }
    const unused: string[] = []
    for (const [file, { exports }] of [...sources, ...exporting]) {
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

/** Files that start a process, a browser or a server for whoever imports them, and for those who import that. */
const STARTERS = ['browser', 'pgbouncer', 'replicated-postgres', 'run-cli', 'serve', 'service-process'].map(
  (name) => join(ROOT, `test/support/${name}.ts`),
)

/** True if a file starts something of its own, by itself or by a file of test/ that it imports, through any number of files. */
function startsSomething(file: string, sources: ReadonlyMap<string, SourceFile>): boolean {
  const { imports, specifiers } = sources.get(file) ?? {
    imports: new Map<string, Set<string>>(),
    specifiers: new Set(),
  }
  if (specifiers.has('node:child_process')) return true
  if ([...imports.values()].some((names) => [...names].some((name) => /PrivatePostgres$/.test(name))))
    return true
  const seen = new Set<string>()
  const visit = (path: string): boolean => {
    if (STARTERS.includes(path)) return true
    if (seen.has(path) || !path.startsWith(join(ROOT, 'test/'))) return false
    seen.add(path)
    return [...(sources.get(path)?.imports.keys() ?? [])].some(visit)
  }
  return visit(file)
}

t.test('npm run test:quick leaves out every file that starts a process, a browser or a server', async (t) => {
  const left = new Set<string>()
  for (const pattern of SLOW_FILES.flatMap(({ files }) => files)) {
    const found = await Array.fromAsync(glob(pattern, { cwd: ROOT }))
    t.ok(found.length > 0, `${pattern} is there`)
    for (const file of found) {
      t.notOk(left.has(file), `${file} is named once`)
      left.add(file)
    }
  }
  const sources = await readAll()
  const missing: string[] = []
  for await (const file of glob('test/**/*.test.ts', { cwd: ROOT })) {
    if (!left.has(file) && startsSomething(join(ROOT, file), sources)) missing.push(file)
  }
  t.strictSame(missing, [], 'add these to test/slow-files.ts')
})

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

/** Expands `{a,b}`; `!(a)` stands for all others. */
function namesOf(pattern: string, all: readonly string[]): string[] {
  const [, excluded] = /^!\((.*)\)$/.exec(pattern) ?? []
  if (excluded !== undefined) return all.filter((name) => name !== excluded)
  return pattern.replace(/^\{|\}$/g, '').split(',')
}

t.test('modules and packages import all that they may, and the diagram draws nothing else', async (t) => {
  const config = await readFile(join(ROOT, 'eslint.config.js'), 'utf8')
  const sources = await readAll()
  for (const [table, folder] of [
    ['MODULE_IMPORTS', 'src/modules'],
    ['PACKAGE_IMPORTS', 'src/lib'],
  ] as const) {
    const found = new Set<string>()
    const folderOf = (path: string): string | null => {
      const parts = relative(join(ROOT, folder), path).split('/')
      return parts[0] === '..' || parts.length < 2 ? null : (parts[0] ?? null)
    }
    for (const [path, { imports }] of sources) {
      for (const target of imports.keys()) found.add(`${folderOf(path)} ${folderOf(target)}`)
    }
    const all = [...new Set([...sources.keys()].map(folderOf).filter((name) => name !== null))]
    const [, text = ''] = new RegExp(`const ${table} = \\[\\n(.*?)\\n\\]`, 's').exec(config) ?? []
    const unused: string[] = []
    for (const [, from = '', to = ''] of text.matchAll(/from: '([^']+)', to: '([^']+)'/g)) {
      for (const name of namesOf(to, all)) {
        if (!namesOf(from, all).some((one) => found.has(`${one} ${name}`))) unused.push(`${from} -> ${name}`)
      }
    }
    t.strictSame(unused, [], table)
    if (table === 'PACKAGE_IMPORTS') continue
    const arrows = await drawnArrows()
    t.ok(arrows.length > 20)
    t.strictSame(
      arrows.filter((arrow) => !found.has(arrow)),
      [],
    )
  }
})

/** Reads which module imports which by the diagram in docs/architecture.md. */
async function drawnArrows(): Promise<string[]> {
  const text = await readFile(join(ROOT, 'docs/architecture.md'), 'utf8')
  const [, diagram = ''] = /subgraph modules [^\n]*\n(.*?)\n {2}end\n/s.exec(text) ?? []
  const labels = new Map(
    [...diagram.matchAll(/(\w+)\[([^\]]+)\]/g)].map(([, name = '', label = '']) => [name, label]),
  )
  return diagram.split('\n').flatMap((line) => {
    const groups = line
      .replace(/\[[^\]]+\]/g, '')
      .split('-->')
      .map((group) => group.split('&').map((name) => labels.get(name.trim()) ?? name.trim()))
    return groups
      .slice(1)
      .flatMap((to, index) => (groups[index] ?? []).flatMap((from) => to.map((name) => `${from} ${name}`)))
  })
}

t.test('a module says on top of its index.ts what it owns', async (t) => {
  const bare: string[] = []
  for await (const file of glob('src/modules/*/index.ts', { cwd: ROOT })) {
    if (!(await readFile(join(ROOT, file), 'utf8')).startsWith('/**\n')) bare.push(file)
  }
  t.strictSame(bare, [])
})

t.test('docblocks of the service begin with a verb or a noun, not with What, Whether or Who', async (t) => {
  const found: string[] = []
  let blocks = 0
  for (const folder of ['src', 'db', 'tools']) {
    for await (const file of glob(`${folder}/**/*.ts`, { cwd: ROOT })) {
      const text = await readFile(join(ROOT, file), 'utf8')
      for (const [, beginning = ''] of text.matchAll(/\/\*\*\s*(?:\* )?(\w+[^\n]*)/g)) {
        blocks++
        if (/^(?:What|Whether|Whom?)\b/.test(beginning)) found.push(`${file}: ${beginning}`)
      }
    }
  }
  t.ok(blocks > 1_000)
  t.strictSame(found, [])
})

/** An applied migration never changes; the name that Postgres gave its primary key is the one that it should have. */
const UNNAMED = '0015_fallbacks_and_enrolments.sql'

t.test('every constraint of a migration has a name', async (t) => {
  const found: string[] = []
  let constraints = 0
  for await (const file of glob('*.sql', { cwd: join(ROOT, 'db/migrations') })) {
    const text = (await readFile(join(ROOT, 'db/migrations', file), 'utf8'))
      .replace(/--[^\n]*/g, '')
      .replace(/'[^']*'/g, "''")
      .replace(/\$\$.*?\$\$/gs, '')
    for (const { 0: kind, index } of text.matchAll(
      /\b(?:primary key|unique(?: nulls not distinct)? \(|foreign key|exclude (?:using \w+ )?\(|check \(|references )/gi,
    )) {
      constraints++
      const before = text.slice(0, index).trimEnd()
      const isOfForeignKey = kind.startsWith('references') && before.endsWith(')')
      if (!/constraint \w+$/.test(before) && !isOfForeignKey) found.push(file)
    }
  }
  t.ok(constraints > 100)
  t.strictSame(found, [UNNAMED])
})
