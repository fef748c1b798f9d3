import fp from 'fastify-plugin'
import { problemCatalogue } from '#lib/api/problem.ts'

/** Serves the page to which every problem's `type` points: the meaning of each code and what to do. */
export default fp(
  async (app) => {
    let page: string | null = null
    app.get(
      '/docs/problems',
      { schema: { hide: true }, config: { access: { role: 'public' } } },
      async (_request, reply) => reply.type('text/html; charset=utf-8').send((page ??= renderPage())),
    )
  },
  { name: 'problem-page', dependencies: ['openapi'] },
)

function renderPage(): string {
  const entries = problemCatalogue().map(
    ({ code, status, title, fix }) =>
      `<h2 id="${code}">${code} <small>${status}</small></h2>\n<p>${escape(title)}. ${escape(fix)}</p>`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Problems</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
h2 { font: 600 1.05rem/1.4 ui-monospace, monospace; margin: 2rem 0 0 }
:target { background: #fff3bf }
small { color: #666 }
</style>
<h1>Problems</h1>
<p>Every error answer names one of these by <code>code</code>. See also <a href="/docs">the API</a>.</p>
${entries.join('\n')}
`
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
