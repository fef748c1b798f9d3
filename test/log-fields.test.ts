/** Log lines and metrics name the same things by the same names: those that docs/operations.md lists. */
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import ts from 'typescript'

const ROOT = resolve(import.meta.dirname, '..')
const FILES = globSync(['src/**/*.ts', 'db/**/*.ts'], { cwd: ROOT }).sort()
/** `child`: what all lines of a logger have. */
const LOGGING = new Set(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'child'])
/** The logger writes these into each line. */
const OF_EACH_LINE = ['level', 'time', 'pid', 'msg', 'request_id']

interface Named {
  name: string
  where: string
}

const sources = await Promise.all(
  FILES.map(async (file) =>
    ts.createSourceFile(file, await readFile(join(ROOT, file), 'utf8'), ts.ScriptTarget.Latest, true),
  ),
)

function visit(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node)
  ts.forEachChild(node, (child) => visit(child, look))
}

function placeOf(node: ts.Node): string {
  const source = node.getSourceFile()
  return `${source.fileName}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}

/** The members of a line, with those of a function of the same file that is spread into it. */
function membersOf(line: ts.ObjectLiteralExpression): Named[] {
  return line.properties.flatMap((property) => {
    if (!ts.isSpreadAssignment(property)) return [{ name: property.name.getText(), where: placeOf(property) }]
    const found: Named[] = []
    visit(line.getSourceFile(), (node) => {
      if (!ts.isFunctionDeclaration(node) || !ts.isCallExpression(property.expression)) return
      if (node.name?.text !== property.expression.expression.getText()) return
      visit(node, (inner) => {
        if (ts.isReturnStatement(inner) && inner.expression && ts.isObjectLiteralExpression(inner.expression))
          found.push(...membersOf(inner.expression))
      })
    })
    // What cannot be looked up here could have any name.
    return found.length > 0 ? found : [{ name: property.getText(), where: placeOf(property) }]
  })
}

function fieldsOf(source: ts.SourceFile): Named[] {
  const found: Named[] = []
  visit(source, (node) => {
    if (!ts.isCallExpression(node)) return
    // `request.log[level](…)` as well as `log.warn(…)`.
    const { expression: callee } = node
    const isLogger =
      (ts.isPropertyAccessExpression(callee) && LOGGING.has(callee.name.text)) ||
      ts.isElementAccessExpression(callee)
    if (!isLogger || !/\blog(ger)?$/.test(callee.expression.getText())) return
    const [first] = node.arguments
    if (first !== undefined && ts.isObjectLiteralExpression(first)) found.push(...membersOf(first))
  })
  return found
}

function labelsOf(source: ts.SourceFile): Named[] {
  const found: Named[] = []
  visit(source, (node) => {
    if (!ts.isPropertyAssignment(node) || node.name.getText() !== 'labelNames') return
    visit(node.initializer, (inner) => {
      if (ts.isStringLiteral(inner)) found.push({ name: inner.text, where: placeOf(inner) })
    })
  })
  return found
}

const manual = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
const section = manual.split('\n### Names\n')[1]?.split('\n## ')[0] ?? ''
const rows = [...section.matchAll(/^\| `(\w+)` +\| (lines|labels|both) +\|/gm)]
const listed = (where: 'lines' | 'labels'): string[] =>
  rows.filter(([, , of]) => of === where || of === 'both').map(([, name = '']) => name)

function assertNames(t: Test, used: readonly Named[], listed: readonly string[], others: readonly string[]) {
  const known = new Set([...listed, ...others])
  t.strictSame(
    used.filter(({ name }) => !known.has(name)).map(({ name, where }) => `${where}: ${name}`),
    [],
    'a name that is not in the list is another name for one that is, or a new row',
  )
  const names = new Set(used.map(({ name }) => name))
  t.strictSame(
    listed.filter((name) => !names.has(name)),
    [],
    'a row that nothing uses any more goes',
  )
}
t.test('the members of log lines are the listed ones', async (t) => {
  const used = sources.flatMap(fieldsOf)
  t.ok(used.length > 80, `${used.length} members`)
  assertNames(t, used, listed('lines'), OF_EACH_LINE)
})

t.test('the labels of metrics are the listed ones', async (t) => {
  const used = sources.flatMap(labelsOf)
  t.ok(used.length > 20, `${used.length} labels`)
  assertNames(t, used, listed('labels'), [])
})

t.test('no name stands there twice', async (t) => {
  const names = rows.map(([, name]) => name)
  t.equal(new Set(names).size, names.length)
})
