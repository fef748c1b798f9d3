import type { describeFlowProblems } from '#lib/flow/index.ts'

const INTRODUCTION = `# What can be wrong with a flow

Codes that \`problems\` of a flow, of \`POST /api/automation/flows/validate\` and of \`flow_invalid\` may have. Each problem
comes with a pointer into the definition, its step, and a message that says how to mend it. A flow with errors cannot be
active; warnings keep it from nothing. How flows are written is in [flows.md](flows.md).

This page is generated from the code by \`npm run openapi\`.
`

/** docs/flow-problems.md: every code by its family. */
export function renderFlowProblems(problems: ReturnType<typeof describeFlowProblems>): string {
  const sections = [...Map.groupBy(problems, ({ family }) => family)].map(([family, definitions]) => {
    const rows = definitions.map(({ code, severity, title }) => [`\`${code}\``, severity, title])
    return `## ${family[0]?.toUpperCase()}${family.slice(1)}\n\n${tableOf(['code', 'severity', 'means'], rows)}`
  })
  return [INTRODUCTION, ...sections].join('\n')
}

function tableOf(headings: string[], rows: string[][]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`
  return [line(headings), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('')
}
