import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { evaluateCondition } from '#lib/condition/index.ts'
import { OPERATORS } from '#lib/condition/operators/index.ts'
import { STEP_TYPES } from '#lib/flow/steps/index.ts'
import type { StepType } from '#lib/flow/types.ts'
import { matchPattern } from '#lib/condition/pattern.ts'
import { compileTemplate, FILTERS, renderHtml, renderTemplate, TEMPLATE_ROOTS } from '#lib/template/index.ts'
import { type Block, blocksOf, openTerminal, walkThrough } from '#test/examples/guide.ts'
import { startExample, urlOf } from '#test/examples/processes.ts'
import { installPlugins } from '#test/modules/flow/support.ts'
import { startApp } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { tableRows } from '#test/support/markdown.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'

const page = await readFile(resolve(import.meta.dirname, '../docs/flows.md'), 'utf8')
const blocks = blocksOf(page)
const messagesPath = resolve(import.meta.dirname, '../docs/messages.md')
/** The time as of which the page's examples are. */
const NOW = new Date('2026-07-01T12:00:00Z')
/** Stands in for `\|`, which is no border of a cell. */
const BAR = '\u0001'
/** Without one, what needs it is warned of. */
const PLATFORM = { PLATFORM_URL: 'http://127.0.0.1:9', PLATFORM_TOKEN: 'token' }

t.test('every definition, step, trigger, condition and setting compiles against the catalogue', async (t) => {
  const service = await startApp(t, { env: PLATFORM })
  const shop = service.tenant()
  await installPlugins(shop, 'http://127.0.0.1:9')
  const seen = new Map<string, number>()
  for (const { language, name, text } of blocks) {
    if (language !== 'json' || name === '') continue
    seen.set(name, (seen.get(name) ?? 0) + 1)
    const definition = definitionOf(name, JSON.parse(text))
    const { flow, problems } = await service.app.flows.compile(shop.id, definition)
    t.strictSame(problems, [], text)
    t.ok(flow)
  }
  t.strictSame([...seen.keys()].sort(), ['condition', 'flow', 'settings', 'steps', 'trigger'])
  t.equal(seen.get('trigger'), 4, 'one for each type')
  t.equal(seen.get('steps'), Object.keys(STEP_TYPES).length, 'one for each type')
})

t.test('the message of docs/messages.md compiles, also with what sends it there', async (t) => {
  const service = await startApp(t, { env: PLATFORM })
  const shop = service.tenant()
  await installPlugins(shop, 'http://127.0.0.1:9')
  const messages = await readFile(messagesPath, 'utf8')
  const [step = {}, sending = {}] = blocksOf(messages).map(({ text }) => JSON.parse(text) as object)
  const action = { send_with: { plugin_id: 'email-marketing', action_id: 'send_welcome_email' } }
  t.match(sending, { send_with: { plugin_id: 'email-marketing' } })
  for (const each of [step, { ...step, ...sending, ...action }]) {
    const flow = { name: 'Example', trigger: { type: 'manual' }, steps: [each] }
    t.strictSame((await service.app.flows.compile(shop.id, flow)).problems, [])
  }
})

/** Wraps a part that the page shows in a whole definition. */
function definitionOf(kind: string, part: unknown): unknown {
  const task = { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } }
  const flow = {
    name: 'Example',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [task],
    variables: { limit: 100 },
  }
  if (kind === 'flow') return part
  if (kind === 'condition') {
    return { ...flow, steps: [{ id: 'check', type: 'condition', condition: part }, task] }
  }
  return { ...flow, [kind]: part }
}

t.test('every type of step has its row, and a section with a step of it', (t) => {
  const types = Object.keys(STEP_TYPES)
  const [, chapter = ''] = page.split(/\n## (?:Steps|Conditions)\n/)
  const rows = tableRows(chapter).slice(1)
  t.strictSame(rows.map(([cell = '']) => codeIn(cell)[0]).sort(), types.toSorted())
  for (const [cell = '', , ports = ''] of rows) {
    const type = codeIn(cell)[0] ?? ''
    for (const port of STEP_TYPES[type as StepType].ports(null))
      t.ok(codeIn(ports).includes(port), `${type} ${port}`)
    const section = chapter.split('\n### ').find((text) => text.startsWith(`${type}\n`)) ?? ''
    const steps = blocksOf(section).flatMap(({ text }) => JSON.parse(text) as { type: string }[])
    t.ok(
      steps.some((step) => step.type === type),
      `the section of ${type} has one`,
    )
  }
  t.end()
})

t.test('every operator is in the table, and true and false for what the table says', async (t) => {
  const rows = tableAfter('<!-- operators -->')
  t.strictSame(
    rows.map(([name]) => name),
    [...OPERATORS.keys()].map((name) => `\`${name}\``),
  )
  const service = await startApp(t, { env: PLATFORM })
  const shop = service.tenant()
  for (const [cell = '', operand = '', example = '', yes = '', no = ''] of rows) {
    const name = codeIn(cell)[0] ?? ''
    const operator = OPERATORS.get(name as never)
    t.equal(operand, operator?.operand ?? '–', `${name} takes`)
    const [value] = codeIn(example)
    const condition = {
      field: 'trigger.now',
      operator: name,
      ...(value !== undefined && { value: JSON.parse(value) as unknown }),
    }
    const steps = [
      { id: 'check', type: 'condition', condition },
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } },
    ]
    const { problems } = await service.app.flows.compile(shop.id, {
      name: 'Example',
      trigger: { type: 'manual' },
      steps,
    })
    t.strictSame(problems, [], `${name} compiles`)
    for (const [cases, expected] of [
      [yes, true],
      [no, false],
    ] as const) {
      const subjects = subjectsIn(cases)
      t.ok(subjects.length > 0, `${name} has an example that is ${expected}`)
      for (const { trigger, before, text } of subjects) {
        const { result } = evaluateCondition(
          condition,
          { trigger },
          { now: NOW, matchPattern, earlier: () => before },
        )
        t.equal(result, expected, `${text} ${name} ${value ?? ''}`)
      }
    }
    t.equal(evaluateCondition(condition, { trigger: {} }, { now: NOW }).result, operator?.whenMissing)
    t.equal(yes.includes('missing'), operator?.whenMissing, `${name} says what a missing field is`)
  }
})

interface Subject {
  trigger: { now?: unknown }
  before: { value: unknown } | undefined
  text: string
}

/** Values in a cell, of which `{ "now", "before" }` tells an earlier one, and the word missing. */
function subjectsIn(cell: string): Subject[] {
  const values = codeIn(cell).map((text): Subject => {
    const value = JSON.parse(text) as unknown
    const told = typeof value === 'object' && value !== null && 'before' in value ? value : null
    if (told === null) return { trigger: { now: value }, before: undefined, text }
    return { trigger: { now: (told as { now?: unknown }).now }, before: { value: told.before }, text }
  })
  return cell.endsWith('missing') ? [...values, { trigger: {}, before: undefined, text: 'missing' }] : values
}

t.test('every filter is in the table with its arguments, and gives what the table says', async (t) => {
  const rows = tableAfter('<!-- filters -->')
  t.strictSame(
    rows.map(([name, args]) => [name, args]),
    [...FILTERS.values()].map(({ name, args }) => [
      `\`${name}\``,
      args.map((each) => (each.optional === true ? `[${each.name}]` : each.name)).join(', '),
    ]),
  )
  for (const [name = '', , example = '', given = '', gives = ''] of rows) {
    const [[template = ''], [data = ''], [result = '']] = [example, given, gives].map(codeIn) as [
      string[],
      string[],
      string[],
    ]
    t.match(template, `| ${codeIn(name)[0] ?? ''}`)
    const compiled = compileTemplate(template)
    if ('problems' in compiled) throw new Error(`${template}: ${JSON.stringify(compiled.problems)}`)
    const rendered = renderTemplate(compiled.template, { trigger: JSON.parse(data) as unknown }, { now: NOW })
    t.strictSame(rendered, { value: JSON.parse(result) as unknown }, template)
  }
})

t.test('loops and tests write what the table says', (t) => {
  const rows = tableAfter('<!-- tags -->')
  t.ok(rows.length > 5)
  for (const [template = '', given = '', gives = ''] of rows) {
    const compiled = compileTemplate(codeIn(template)[0] ?? '')
    if ('problems' in compiled) throw new Error(`${template}: ${JSON.stringify(compiled.problems)}`)
    const scope = { trigger: JSON.parse(codeIn(given)[0] ?? '') as unknown }
    const rendered = renderTemplate(compiled.template, scope, { now: NOW })
    t.strictSame(rendered, { value: JSON.parse(codeIn(gives)[0] ?? '') as unknown }, template)
  }
  t.end()
})

t.test('docs/messages.md says what becomes of values in text and in HTML', async (t) => {
  const rows = tableAfter('<!-- formats -->', await readFile(messagesPath, 'utf8'))
  t.ok(rows.length > 4)
  for (const [format = '', body = '', given = '', sent = ''] of rows) {
    const compiled = compileTemplate(codeIn(body)[0] ?? '')
    if ('problems' in compiled) throw new Error(`${body}: ${JSON.stringify(compiled.problems)}`)
    const scope = { trigger: JSON.parse(codeIn(given)[0] ?? '') as unknown }
    const render = codeIn(format)[0] === 'html' ? renderHtml : renderTemplate
    t.strictSame(render(compiled.template, scope, { now: NOW }), { value: codeIn(sent)[0] }, body)
  }
})

t.test('delays end when the table says, where clocks change', async (t) => {
  const service = await startApp(t, { env: PLATFORM })
  const shop = service.tenant()
  await shop.patch('/api/tenant', { time_zone: 'Europe/Lisbon' })
  const rows = tableAfter('<!-- clocks -->')
  t.ok(rows.length > 7)
  const task = { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } }
  for (const row of rows) {
    const [now = '', delay = '', ends = ''] = row.map((cell) => codeIn(cell)[0] ?? '')
    const step = { id: 'wait', type: 'delay', ...(JSON.parse(delay) as object) }
    const definition = { name: 'Example', trigger: { type: 'manual' }, steps: [step, task] }
    const answer = await shop.post('/api/automation/flows/test', { definition, now })
    const { steps } = answer.json<{ steps: { output: { waited_until: string } }[] }>()
    t.equal(steps[0]?.output.waited_until, new Date(ends).toISOString(), `${delay} at ${now}`)
  }
})

t.test('every root of a path is explained', (t) => {
  const section = page.slice(page.indexOf('\n## Templates'), page.indexOf('<!-- filters -->'))
  for (const root of TEMPLATE_ROOTS) t.match(section, new RegExp(`\\| \`${root}\\b`), root)
  t.end()
})

t.test('every line of the page works as it is printed', async (t) => {
  const database = await createTestDatabase(t)
  const platform = `http://127.0.0.1:${await freePort()}`
  const PLATFORM_TOKEN = 'platform-dev-token'
  const server = await serve(t, { DATABASE_URL: database.url })
  const url = await server.url()
  const { port } = new URL(platform)
  await urlOf(startExample(t, 'platform', { PORT: port, AUTOMATION_URL: url, PLATFORM_TOKEN }))
  const started: Record<string, string> = {
    service: 'npm install\nnpm start\n',
    platform: 'npx node examples/platform/server.ts\n',
  }
  const here = page.replaceAll('http://127.0.0.1:3000', url).replaceAll('http://127.0.0.1:4000', platform)
  const lines = blocksOf(here).filter(({ language, name }: Block) => language === 'sh' || name === '')
  t.ok(lines.length > 20)
  await walkThrough(t, lines, {
    terminal: openTerminal(t, await temporaryFolder(t), {}),
    named: async ({ name, text }) => {
      t.equal(text, started[name], 'what was started above')
    },
  })
})

function tableAfter(mark: string, text = page): string[][] {
  const from = text.slice(text.indexOf(mark)).replaceAll('\\|', BAR)
  const table = /\n\|[\s\S]*?\n(?!\|)/.exec(from)?.[0] ?? ''
  return tableRows(table)
    .slice(1)
    .map((cells) => cells.map((cell) => cell.replaceAll(BAR, '|')))
}

function codeIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
}
