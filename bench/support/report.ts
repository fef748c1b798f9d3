import { type Bound, type CpuCosts, type Figure, meets, ratioOf, type Row } from './figure.ts'
import type { Machine } from './machine.ts'

export interface Report {
  date: string
  command: string
  seconds: number
  quick: boolean
  machine: Machine
  figures: { name: string; rows: Row[] }[]
  failed: { name: string; error: string }[]
}

const HEADS = ['name', 'ours', 'ceiling', 'ratio', 'target', 'unit', 'met'] as const
const LEFT_ALIGNED = new Set<string>(['name', 'target', 'unit'])

/** A Markdown table whose columns line up as text, too. */
export function tableOf(rows: readonly Row[]): string {
  const lines: string[][] = [[...HEADS], ...rows.map(cellsOf)]
  const widths = HEADS.map((_, column) => Math.max(3, ...lines.map((cells) => cells[column]?.length ?? 0)))
  const render = (cells: readonly string[]): string =>
    `| ${cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return LEFT_ALIGNED.has(HEADS[column] ?? '') ? cell.padEnd(width) : cell.padStart(width)
      })
      .join(' | ')} |`
  const rule = HEADS.map((head, column) => {
    const dashes = '-'.repeat(widths[column] ?? 3)
    return LEFT_ALIGNED.has(head) ? dashes : `${dashes.slice(1)}:`
  })
  const [head = [], ...body] = lines
  return [head, rule, ...body].map(render).join('\n')
}

function cellsOf(row: Row): string[] {
  const ratio = ratioOf(row)
  const met = meets(row)
  return [
    row.name,
    formatNumber(row.ours),
    row.ceiling === null ? '' : formatNumber(row.ceiling),
    ratio === null ? '' : ratio.toFixed(2),
    row.target === null ? '' : formatBound(row.target),
    row.unit,
    met === null ? '' : met ? 'yes' : 'no',
  ]
}

function formatBound(target: Bound): string {
  const bound = 'atLeast' in target ? `≥ ${formatNumber(target.atLeast)}` : `≤ ${formatNumber(target.atMost)}`
  return target.of === 'ratio' ? `ratio ${bound}` : bound
}

/** Three digits that mean something; whole numbers with thousands separated. */
function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const digits = Number(value.toPrecision(3))
  return digits.toLocaleString('en', { maximumFractionDigits: Math.abs(digits) < 1 ? 3 : 2 })
}

function cpuTableOf(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, cpu }) =>
    cpu === undefined ? [] : [`| ${name} | ${costsOf(cpu.ours)} | ${costsOf(cpu.ceiling)} |`],
  )
  return ['| name | ours | ceiling |', '| --- | --- | --- |', ...lines].join('\n')
}

function costsOf(costs: CpuCosts): string {
  return Object.entries(costs)
    .map(([name, micros]) => `${name} ${micros}`)
    .join(', ')
}

/** docs/performance.md. */
export function documentOf(report: Report, figures: readonly Figure[]): string {
  const { machine } = report
  const settings = Object.entries(machine.postgres_settings).map(([name, value]) => `${name} = ${value}`)
  const rows = report.figures.flatMap((figure) => figure.rows)
  const about = figures.map(({ title, about: text }) => `## ${title}\n\n${text}`)
  return `# Performance

Written by \`${report.command}\`, in ${Math.round(report.seconds)} s. \`ours\` is this service, \`ceiling\` what the same machine does at best
in the same run, taken in turn, both as medians. Receiver, load and Postgres share its cores, so compare ratios.
Everything is at its default, in one process of both roles, unless said otherwise.

| | |
| --- | --- |
| date | ${report.date.slice(0, 10)} |
| processor | ${machine.cpu}, ${machine.cores} cores |
| memory | ${machine.memory_gb} GB |
| load before | ${machine.load_before} |
| Node | ${machine.node} |
| Postgres | ${machine.postgres}, ${settings.join(', ')} |

${tableOf(rows)}

CPU time in microseconds for one event or delivery, by process. It hardly depends on what else the machine was doing.

${cpuTableOf(rows)}

${about.join('\n\n')}
`
}
