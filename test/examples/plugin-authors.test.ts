import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'
import {
  blocksOf,
  npmWithoutNetwork,
  openTerminal,
  type Program,
  startProgram,
  walkThrough,
  withPorts,
} from './guide.ts'
import { eventually } from '#test/support/deliveries.ts'

const ROOT = resolve(import.meta.dirname, '../..')

t.test("the plugin authors' guide works word by word", async (t) => {
  const server = await serve(t, {})
  t.teardown(async () => {
    // By itself, so that its Postgres ends, too.
    server.process.kill('SIGTERM')
    await server.exit
  })
  const url = await server.url()
  const pluginPort = await freePort()
  const exportsPort = await freePort()
  const page = withPorts(await readFile(join(ROOT, 'docs/plugin-authors.md'), 'utf8'), {
    3000: Number(new URL(url).port),
    4200: pluginPort,
    4201: exportsPort,
  })
  const home = await temporaryFolder(t)
  const terminal = openTerminal(t, home, {
    PATH: `${await npmWithoutNetwork(home)}:${process.env['PATH'] ?? ''}`,
  })
  const folder = join(home, 'my-plugin')
  let plugin: Program | null = null
  const exporters: Program[] = []

  await walkThrough(t, blocksOf(page), {
    terminal,
    named: async ({ name, text }) => {
      if (name === 'service') {
        t.equal(text, 'npm install\nnpm start\n', 'what was started above')
      } else if (name === 'plugin') {
        plugin = startProgram(t, folder, text)
        await eventually('the plugin', () =>
          fetch(`http://127.0.0.1:${pluginPort}/api/capabilities`).then(
            (response) => response.ok || null,
            () => null,
          ),
        )
      } else if (name === 'exports') {
        // The reader is told to kill it in the middle.
        await exporters.at(-1)?.kill()
        const exporter = startProgram(t, folder, text)
        exporters.push(exporter)
        await eventually('the exports', () => exporter.output().includes('listening') || null)
      } else {
        await writeFile(join(folder, name), text)
      }
    },
  })
  const exported = exporters.map((exporter) => exporter.output().replaceAll('listening\n', ''))
  t.strictSame(
    exported,
    ['export of 2026-06: begun\n', 'export of 2026-06: begun\nexport of 2026-06: done\n'],
    'killed between accepting and completing, it completes',
  )
  const seen = (plugin as Program | null)?.output() ?? ''
  for (const line of ['event plugin.test:', 'event customer.created:', 'action greet: Ada']) {
    t.equal(seen.split(line).length - 1, 1, `${line} is printed once`)
  }
})
