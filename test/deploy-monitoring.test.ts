/** deploy/monitoring: alerts and a board that name what the service exposes. */
import { execFile, execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { createTestDatabase } from '#test/support/database.ts'
import { temporaryFolder } from '#test/support/serve.ts'
import { appOn } from '#test/infra/app-on.ts'

const FOLDER = resolve(import.meta.dirname, '../deploy/monitoring')
const ALERTS = join(FOLDER, 'alerts.yml')
const run = promisify(execFile)

interface Rule {
  alert: string
  expr: string
  for: string
  labels: { severity: string }
  annotations: { summary: string; description: string }
}

interface Panel {
  title: string
  type: string
  gridPos: { x: number; y: number; w: number; h: number }
  targets?: { expr: string; legendFormat: string }[]
}

const { groups } = parse(await readFile(ALERTS, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(({ rules }) => rules)
const board = JSON.parse(await readFile(join(FOLDER, 'grafana-dashboard.json'), 'utf8')) as {
  panels: Panel[]
}
const manual = await readFile(resolve(FOLDER, '../../docs/operations.md'), 'utf8')

/** Labels by series, as a scrape has them: a histogram has three. */
async function exposed(t: Test): Promise<Map<string, Set<string>>> {
  const { url } = await createTestDatabase(t)
  const { registry } = (await appOn(t, url)).metrics
  const series = new Map<string, Set<string>>([['up', new Set()]])
  for (const { name, type } of await registry.getMetricsAsJSON()) {
    const { labelNames = [] } = registry.getSingleMetric(name) as { labelNames?: string[] }
    const names =
      String(type) === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name]
    for (const each of names) {
      series.set(each, new Set([...labelNames, ...(each.endsWith('_bucket') ? ['le'] : [])]))
    }
  }
  return series
}
/** What Prometheus adds to each series. */
const OF_SCRAPES = ['job', 'instance']

/** What an expression or a text asks for that no scrape has. */
function unknownIn(expression: string, legend: string, series: ReadonlyMap<string, Set<string>>): string[] {
  const selectors = [...expression.matchAll(/\b((?:bcs|nodejs|process)_\w+|up\b)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', matchers = '']) => ({ name, matchers }),
  )
  const labels = new Set(OF_SCRAPES)
  const unknown: string[] = selectors.length === 0 ? [`${expression} names no metric`] : []
  for (const { name, matchers } of selectors) {
    const own = series.get(name)
    if (own === undefined) unknown.push(name)
    own?.forEach((label) => labels.add(label))
    for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
      if (own?.has(label) !== true && !OF_SCRAPES.includes(label)) unknown.push(`${name}{${label}}`)
    }
  }
  const by = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/,\s*/))
  const told = [...legend.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label = '']) => label)
  for (const label of [...by, ...told]) if (!labels.has(label)) unknown.push(`${expression}: ${label}`)
  return unknown
}

t.test('alerts and panels name metrics and labels that the service exposes', async (t) => {
  const series = await exposed(t)
  const asked = [
    ...rules.map(({ expr, annotations: { summary } }) => ({ expr, legend: summary })),
    ...board.panels.flatMap(({ targets = [] }) =>
      targets.map(({ expr, legendFormat }) => ({ expr, legend: legendFormat })),
    ),
  ]
  t.ok(asked.length > 60, `${asked.length} expressions`)
  t.strictSame(
    asked.flatMap(({ expr, legend }) => unknownIn(expr, legend, series)),
    [],
  )
  t.ok(unknownIn('rate(bcs_nothing_total[5m])', '', series).length > 0, 'an unknown metric is found')
  t.ok(unknownIn('bcs_breakers{plugin="a"}', '', series).length > 0, 'and an unknown label')

  const shown = board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n')
  t.strictSame(
    [...series.keys()]
      .filter((name) => name.startsWith('bcs_'))
      .map((name) => name.replace(/_(bucket|sum|count)$/, ''))
      .filter((name) => !shown.includes(name)),
    [],
    'the board shows every metric of the service',
  )
})

t.test('panels stand beside one another, and alerts say what to do', async (t) => {
  const taken = new Set<string>()
  for (const { title, gridPos } of board.panels) {
    t.ok(gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        if (taken.has(`${x} ${y}`)) t.fail(`${title} covers another one`)
        taken.add(`${x} ${y}`)
      }
    }
  }
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length)
  for (const { alert, labels, annotations } of rules) {
    t.ok(['page', 'ticket'].includes(labels.severity), alert)
    t.ok(annotations.summary !== '' && annotations.description !== '', alert)
  }
  for (const file of ['alerts.yml', 'grafana-dashboard.json'])
    t.ok(manual.includes(`deploy/monitoring/${file}`), `docs/operations.md names ${file}`)
})

const SKIP =
  hasPromtool() || process.env['CI'] === 'true' ? false : 'there is no promtool: apt-get install prometheus'

function hasPromtool(): boolean {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Series that go on for so long, in minutes, and the alerts that then have to be on; by each of them alone. */
const CASES: readonly { series: string; values: string; minutes: number; alerts: string[] }[] = [
  { series: 'up{job="bettercallsold-automation"}', values: '0x5', minutes: 5, alerts: ['BcsDown'] },
  { series: 'up{job="automation/bettercallsold-automation"}', values: '1x5', minutes: 5, alerts: [] },
  { series: 'bcs_database_up', values: '0x5', minutes: 5, alerts: ['BcsDatabaseDown'] },
  { series: 'bcs_background_up{name="matcher"}', values: '0x9', minutes: 9, alerts: ['BcsBackgroundStuck'] },
  { series: 'bcs_queue_unattended_seconds', values: '61x9', minutes: 9, alerts: ['BcsDeliveriesUnattended'] },
  { series: 'bcs_queue_unattended_seconds', values: '59x9', minutes: 9, alerts: [] },
  { series: 'bcs_queue_depth', values: '1000+10x180', minutes: 170, alerts: ['BcsQueueGrows'] },
  { series: 'bcs_queue_depth', values: '100000-10x180', minutes: 170, alerts: [] },
  { series: 'bcs_breakers{state="open"}', values: '11x15', minutes: 15, alerts: ['BcsBreakersOpen'] },
  // The first one of its route, and none before and after it.
  {
    series: 'bcs_http_request_duration_seconds_count{route="/api/events",status="500"}',
    values: '_x3 1x10',
    minutes: 5,
    alerts: ['BcsServerErrors'],
  },
  {
    series: 'bcs_http_request_duration_seconds_count{route="/api/events",status="500"}',
    values: '3x30',
    minutes: 20,
    alerts: [],
  },
  { series: 'bcs_events_lost_total', values: '0x2 7x20', minutes: 5, alerts: ['BcsEventsLost'] },
  { series: 'bcs_clock_offset_seconds', values: '-2x9', minutes: 9, alerts: ['BcsClockOff'] },
  {
    series: 'bcs_flow_pauses_total{reason="failing"}',
    values: '_x2 1x9',
    minutes: 6,
    alerts: ['BcsFlowsPaused'],
  },
]

t.test('Prometheus takes the alerts, and they are on when they have to be', { skip: SKIP }, async (t) => {
  await run('promtool', ['check', 'rules', ALERTS])
  const file = join(await temporaryFolder(t), 'alerts.test.yml')
  const tests = CASES.map(({ series, values, minutes, alerts }) => ({
    interval: '1m',
    input_series: [{ series, values }],
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: `${minutes}m`,
        exp_samples: alerts.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
      },
    ],
  }))
  await writeFile(file, stringify({ rule_files: [ALERTS], evaluation_interval: '1m', tests }))
  await run('promtool', ['test', 'rules', file])
})
