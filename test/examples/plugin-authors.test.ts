import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { findFreePort } from '#tools/embedded-postgres/postmaster.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'
import { blocksOf, openTerminal, walkThrough } from './guide.ts'
import { eventually } from './until.ts'

const ROOT = resolve(import.meta.dirname, '../..')

t.test("the plugin authors' guide works word by word", async (t) => {
  const server = await serve(t, {})
  t.teardown(async () => {
    // By itself, so that its Postgres ends, too.
    server.process.kill('SIGTERM')
    await server.exit
  })
  const url = await server.url()
  const pluginPort = await findFreePort()
  const exportsPort = await findFreePort()
  // Somebody else's service may be on the ports that are printed.
  const page = (await readFile(join(ROOT, 'docs/plugin-authors.md'), 'utf8'))
    .replaceAll('http://127.0.0.1:3000', url)
    .replaceAll('4100', String(pluginPort))
    .replaceAll('4101', String(exportsPort))
  const home = await temporaryFolder(t)
  const terminal = openTerminal(t, home, {
    PATH: `${await npmWithoutNetwork(home)}:${process.env['PATH'] ?? ''}`,
  })
  const folder = join(home, 'my-plugin')
  let plugin: Running | null = null
  const exporters: Running[] = []

  await walkThrough(t, blocksOf(page), {
    terminal,
    named: async ({ name, text }) => {
      if (name === 'service') {
        t.equal(text, 'npm install\nnpm start\n', 'what was started above')
      } else if (name === 'plugin') {
        plugin = start(t, folder, text)
        await eventually('the plugin', () =>
          fetch(`http://127.0.0.1:${pluginPort}/api/capabilities`).then(
            (response) => response.ok || null,
            () => null,
          ),
        )
      } else if (name === 'exports') {
        // The reader is told to kill it in the middle.
        await exporters.at(-1)?.kill()
        const exporter = start(t, folder, text)
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
  const seen = (plugin as Running | null)?.output() ?? ''
  for (const line of ['event plugin.test:', 'event customer.created:', 'action greet: Ada']) {
    t.equal(seen.split(line).length - 1, 1, `${line} is printed once`)
  }
})

/** `npm install` of what this checkout has already; all else is npm's own business. */
async function npmWithoutNetwork(home: string): Promise<string> {
  const folder = join(home, 'bin')
  await mkdir(folder)
  const script = `#!/bin/sh
if [ "$1" = install ]; then exec ln -s '${join(ROOT, 'node_modules')}' node_modules; fi
PATH="\${PATH#*:}" exec npm "$@"
`
  await writeFile(join(folder, 'npm'), script)
  await chmod(join(folder, 'npm'), 0o755)
  return folder
}

interface Running {
  output: () => string
  kill: () => Promise<void>
}

function start(t: Test, cwd: string, command: string): Running {
  const child = spawn('sh', ['-c', `exec ${command}`], {
    cwd,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill()
    await closed
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  }
  return {
    output: () => text,
    kill: async () => {
      child.kill('SIGKILL')
      await closed
    },
  }
}
