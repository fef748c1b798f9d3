import { STATUS_CODES } from 'node:http'
import type { ProblemDefinition } from '#lib/api/problem.ts'

const INTRODUCTION = `# Problems

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem, \`application/problem+json\`:

\`\`\`json
{
  "type": "/docs/problems#invalid_request",
  "title": "The request is not valid",
  "status": 400,
  "detail": "See errors: each entry names a field and what it must be.",
  "code": "invalid_request",
  "errors": [{ "pointer": "/name", "detail": "is required" }],
  "request_id": "0f8fad5b-d9cb-469f-a165-70867728950e"
}
\`\`\`

\`code\` is the contract: branch on it. \`title\` and \`detail\` are for people and may change. \`errors\` is there when
single fields are at fault, each by its JSON pointer into the body (\`/querystring/…\`, \`/params/…\` and \`/headers/…\`
elsewhere). \`request_id\` is the \`x-request-id\` of the request, or one that was made up for it.

This page is generated from the code by \`npm run openapi\`.
`

/** docs/problems.md: every code with its status, its meaning and what to do. Headings are the anchors of `type`. */
export function renderProblems(catalogue: readonly ProblemDefinition[]): string {
  const byStatus = Map.groupBy(catalogue, ({ status }) => status)
  const sections = [...byStatus]
    .sort(([a], [b]) => a - b)
    .map(([status, definitions]) => {
      const heading = `## ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd()
      const entries = definitions.map(
        ({ code, title, fix }) => `### ${code}\n\n${title}. ${inMarkdown(fix)}\n`,
      )
      return [`${heading}\n`, ...entries].join('\n')
    })
  return [INTRODUCTION, ...sections].join('\n')
}

/** `__proto__` would be bold. */
function inMarkdown(text: string): string {
  return text.replaceAll(/__\w+__/g, '`$&`')
}
