import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'
import { noConsole } from './support/console.ts'

const DIST = resolve(import.meta.dirname, '../../console/dist')
const KB = 1_024
/** Bytes that a browser loads before it shows the first page, compressed. */
const FIRST_JS_BYTES = 90 * KB
const FIRST_CSS_BYTES = 20 * KB
/** Bytes that any other page adds to that. */
const PAGE_BYTES = 40 * KB
/** Bytes that a page with the canvas adds. */
const CANVAS_BYTES = 260 * KB
/** Bytes of a worker beside a page. */
const WORKER_BYTES = 130 * KB
const FIRST_PAGE = 'src/pages/overview/Home.svelte'
const WITH_CANVAS = /src\/pages\/(run\/Run|flow\/Flow|templates\/Template)\.svelte$/

interface Chunk {
  file: string
  css?: string[]
  imports?: string[]
  isEntry?: true
  isDynamicEntry?: true
}

/** The files that a chunk needs before it runs: itself, its styles, and its imports. */
function filesOf(
  manifest: Readonly<Record<string, Chunk>>,
  name: string,
  seen = new Set<string>(),
): Set<string> {
  const chunk = manifest[name]
  if (chunk === undefined || seen.has(chunk.file)) return seen
  seen.add(chunk.file)
  for (const style of chunk.css ?? []) seen.add(style)
  for (const each of chunk.imports ?? []) filesOf(manifest, each, seen)
  return seen
}

async function bytesOf(files: Iterable<string>, kind: RegExp): Promise<number> {
  const sizes = [...files]
    .filter((file) => kind.test(file))
    .map(async (file) => (await readFile(join(DIST, `${file}.gz`))).length)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

t.test('what the console loads stays within its budget', { skip: noConsole }, async (t) => {
  const manifest = JSON.parse(await readFile(join(DIST, 'manifest.json'), 'utf8')) as Record<string, Chunk>
  const entry = Object.keys(manifest).find((name) => manifest[name]?.isEntry === true) ?? ''
  const shell = filesOf(manifest, entry)
  t.ok(manifest[FIRST_PAGE], `${FIRST_PAGE} is a page`)
  const first = new Set([...shell, ...filesOf(manifest, FIRST_PAGE)])
  const js = await bytesOf(first, /\.js$/)
  const css = await bytesOf(first, /\.css$/)
  t.ok(js > 0 && js <= FIRST_JS_BYTES, `the first page loads ${js} bytes of scripts`)
  t.ok(css > 0 && css <= FIRST_CSS_BYTES, `the first page loads ${css} bytes of styles`)

  const pages = Object.keys(manifest).filter((name) => manifest[name]?.isDynamicEntry === true)
  t.ok(pages.length > 0)
  for (const page of pages) {
    const added = await bytesOf(filesOf(manifest, page).difference(shell), /\.(js|css)$/)
    const budget = WITH_CANVAS.test(page) ? CANVAS_BYTES : PAGE_BYTES
    t.ok(added > 0 && added <= budget, `${page} adds ${added} bytes`)
  }

  const workers = (await readdir(join(DIST, 'assets'))).filter((file) => /\.worker-[^.]*\.js$/.test(file))
  t.ok(workers.length > 0, 'there is a worker')
  for (const worker of workers) {
    const bytes = await bytesOf([`assets/${worker}`], /\.js$/)
    t.ok(bytes > 0 && bytes <= WORKER_BYTES, `${worker} has ${bytes} bytes`)
  }
})
