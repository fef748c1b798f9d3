import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { freePort } from '#test/support/free-port.ts'

/** A program in front of the service, as docs/operations.md sets it up. */
export interface Balancer {
  name: string
  /** Null: this machine does not have it. CI does. */
  program: string | null
  config(port: number, directory: string, backends: readonly number[]): string
  args(config: string, directory: string): string[]
}

function find(name: string): string | null {
  const path = ['/usr/sbin', '/usr/local/sbin', '/usr/bin', '/usr/local/bin']
    .map((directory) => join(directory, name))
    .find((each) => existsSync(each))
  return path ?? (process.env['CI'] === 'true' ? name : null)
}

export const HAPROXY: Balancer = {
  name: 'HAProxy',
  program: find('haproxy'),
  args: (config) => ['-db', '-f', config],
  config: (port, _directory, backends) => `
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend entrance
  bind 127.0.0.1:${port}
  default_backend automation
backend automation
  option httpchk
  http-check send meth GET uri /health/ready
  http-check expect status 200
  timeout check 1s
  option redispatch
  retries 3
  retry-on conn-failure
  default-server check inter 1s fall 2 rise 1
${backends.map((backend) => `  server api${backend} 127.0.0.1:${backend}`).join('\n')}
`,
}

export const NGINX: Balancer = {
  name: 'nginx',
  program: find('nginx'),
  args: (config, directory) => ['-p', directory, '-c', config, '-e', 'stderr'],
  config: (port, directory, backends) => `
daemon off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join('\n  ')}
  upstream automation {
    ${backends.map((backend) => `server 127.0.0.1:${backend} max_fails=1 fail_timeout=1s;`).join('\n    ')}
  }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 8m;
    location / {
      proxy_pass http://automation;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_connect_timeout 2s;
      proxy_next_upstream error timeout non_idempotent;
      proxy_next_upstream_tries 2;
    }
  }
}
`,
}

/** Starts it in front of these ports, and resolves with its address once it passes requests on. */
export async function startBalancer(
  t: Test,
  balancer: Balancer,
  backends: readonly number[],
): Promise<{ url: string; log: string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-balancer-'))
  const port = await freePort()
  const config = join(directory, 'balancer.conf')
  await writeFile(config, balancer.config(port, directory, backends))
  const child = spawn(balancer.program ?? '', balancer.args(config, directory), {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => log.push(...text.split('\n').filter(Boolean)))
  }
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      log.push(error.message)
      resolve()
    })
    child.once('exit', () => resolve())
  })
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
    await rm(directory, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${port}`
  await eventually(`${balancer.name} passes requests on: ${log.join('\n')}`, async () => {
    if (child.exitCode !== null) throw new Error(log.join('\n'))
    const response = await fetch(`${url}/health/ready`).catch(() => null)
    await response?.body?.cancel()
    return response?.status === 200
  })
  return { url, log }
}
