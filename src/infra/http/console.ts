import { existsSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import fastifyStatic from '@fastify/static'
import fp from 'fastify-plugin'
import type { FastifyReply } from 'fastify'
import { openTo } from '#infra/auth/auth.ts'
import { routeNotFound } from '#infra/http/problems.ts'

export interface ConsoleOptions {
  /** Origins whose pages may show the console in a frame, or none. */
  frameAncestors: readonly string[]
  /** The folder that `npm run console:build` made. */
  folder?: string
}

const FOLDER = resolve(import.meta.dirname, '../../../console/dist')
/** Their names hold a hash of their content. */
const ASSETS_MAX_AGE = '365d'
const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>The console is not built</title>
<p>The console is not built on this machine: run <code>npm run console:build</code> and start again.
The <a href="/docs">API and its documentation</a> work without it.</p>
`

/**
 * Serves the web app at /console: its files for ever, its page for every address below that is no file. The page
 * holds nothing of a shop, so it is open to everybody; its data comes from the API.
 */
export default fp(
  async (app, { frameAncestors, folder = FOLDER }: ConsoleOptions) => {
    const headers = pageHeaders(frameAncestors)
    await app.register(async (scope) => {
      openTo(scope, 'public')
      const files = new Set(
        existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [],
      )
      const isBuilt = files.has('index.html')
      if (isBuilt) await scope.register(fastifyStatic, { root: folder, preCompressed: true, serve: false })
      const sendPage = async (reply: FastifyReply): Promise<FastifyReply> => {
        reply.headers(headers)
        if (!isBuilt) return reply.code(503).type('text/html; charset=utf-8').send(NOT_BUILT)
        return reply.sendFile('index.html', { cacheControl: false })
      }
      const schema = { hide: true }
      scope.get('/console', { schema }, async (_request, reply) => sendPage(reply))
      scope.get<{ Params: { '*': string } }>('/console/*', { schema }, async (request, reply) => {
        const path = request.params['*']
        if (!path.startsWith('assets/')) return sendPage(reply)
        if (!files.has(path)) throw routeNotFound()
        reply.header('x-content-type-options', 'nosniff')
        return reply.sendFile(path, { maxAge: ASSETS_MAX_AGE, immutable: true })
      })
    })
  },
  { name: 'console', dependencies: ['problems'] },
)

/** No script, frame, form or connection that is not ours, and no text that becomes markup. */
function pageHeaders(frameAncestors: readonly string[]): Record<string, string> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Positions on the canvas and bars of charts.
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    `frame-ancestors ${frameAncestors.length === 0 ? "'none'" : frameAncestors.join(' ')}`,
    "require-trusted-types-for 'script'",
    'trusted-types svelte-trusted-html console-worker',
  ]
  return {
    'content-security-policy': policy.join('; '),
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
}
