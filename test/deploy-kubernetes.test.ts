import { execFile } from 'node:child_process'
import { cp, readFile, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { describeVariables, readEnvironment } from '#config/environment.ts'
import { type Manifest, schemaProblems } from '#test/support/kubernetes.ts'
import { codeBlocks } from '#test/support/markdown.ts'
import { temporaryFolder } from '#test/support/serve.ts'

const ROOT = resolve(import.meta.dirname, '..')
const FOLDER = join(ROOT, 'deploy/kubernetes')
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')
const run = promisify(execFile)

type Labels = Record<string, string>

interface Probe {
  httpGet: { path: string; port: string }
}

interface Container {
  name: string
  image: string
  command?: string[]
  env?: { name: string; value: string }[]
  envFrom: { configMapRef?: { name: string }; secretRef?: { name: string } }[]
  ports?: { name: string; containerPort: number }[]
  startupProbe?: Probe
  livenessProbe?: Probe
  readinessProbe?: Probe
  resources: { limits?: Record<string, string> }
  securityContext: unknown
}

interface Deployment extends Manifest {
  spec: {
    replicas?: number
    selector: { matchLabels: Labels }
    strategy: unknown
    template: {
      metadata: { labels: Labels }
      spec: {
        terminationGracePeriodSeconds: number
        automountServiceAccountToken: boolean
        securityContext: unknown
        initContainers: Container[]
        containers: Container[]
        volumes?: unknown
      }
    }
  }
}

interface Kustomization {
  apiVersion: string
  kind: string
  resources: string[]
  configMapGenerator: { name: string; behavior?: string; envs?: string[] }[]
}

async function manifestsOf(file: string): Promise<Manifest[]> {
  return parseAllDocuments(await readFile(join(FOLDER, file), 'utf8')).map((document) => {
    if (document.errors.length > 0) throw new Error(`${file}: ${document.errors.join('; ')}`)
    return document.toJS() as Manifest
  })
}

const kustomization = parse(await read('deploy/kubernetes/kustomization.yaml')) as Kustomization
const manifests = (await Promise.all(kustomization.resources.map(manifestsOf))).flat()
const [secret] = (await manifestsOf('secret.example.yaml')) as [
  Manifest & { stringData: Record<string, string> },
]
const settings = parseEnv(await read('deploy/kubernetes/settings.env')) as Record<string, string>
const { scripts } = JSON.parse(await read('package.json')) as { scripts: Record<string, string> }
const operations = await read('docs/operations.md')

function find(kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

const NAME = 'bettercallsold-automation'
const api = find('Deployment', `${NAME}-api`) as Deployment
const worker = find('Deployment', `${NAME}-worker`) as Deployment
const deployments = { api, worker }

function containersOf({ spec }: Deployment): [Container, Container] {
  const { initContainers, containers } = spec.template.spec
  const [migrate] = initContainers
  const [service] = containers
  if (migrate === undefined || service === undefined) throw new Error('a container is missing')
  return [migrate, service]
}

t.test("the manifests fit Kubernetes' published schemas, and name no namespace", async (t) => {
  for (const manifest of [...manifests, secret]) {
    const name = `${manifest.kind} ${manifest.metadata.name}`
    t.strictSame(schemaProblems(manifest), [], name)
    t.notOk(manifest.metadata.namespace, name)
  }
})

t.test('a manifest with a wrong type, a member too few or one too many does not fit', async (t) => {
  const spec = structuredClone(api.spec) as unknown as Record<string, unknown>
  const problems = schemaProblems({ ...api, spec: { ...spec, replicas: 'two', minReady: 5 } } as Manifest)
  t.match(problems, [/^\/spec\/replicas: type/, /^\/spec\/minReady: unknown$/])
  delete spec['selector']
  t.match(schemaProblems({ ...api, spec } as Manifest), [/^\/spec: required .*selector/])
  const misspelt = structuredClone(api)
  Object.assign(containersOf(misspelt)[1].readinessProbe ?? {}, { timeout: 3 })
  t.strictSame(schemaProblems(misspelt), ['/spec/template/spec/containers/0/readinessProbe/timeout: unknown'])
})

t.test(
  'the base has every file but the example of a Secret, which would overwrite the own one',
  async (t) => {
    t.equal(kustomization.kind, 'Kustomization')
    t.equal(kustomization.apiVersion, 'kustomize.config.k8s.io/v1beta1')
    t.strictSame(kustomization.configMapGenerator, [{ name: NAME, envs: ['settings.env'] }])
    t.strictSame(
      [...kustomization.resources, 'kustomization.yaml', 'secret.example.yaml', 'settings.env'].sort(),
      (await readdir(FOLDER)).sort(),
    )
  },
)

t.test('ConfigMap and Secret have the settings that compose has, each secret in the Secret', async (t) => {
  const compose = parse(await read('docker-compose.yml'), { merge: true }) as {
    services: { api: { environment: Record<string, unknown> } }
  }
  t.strictSame(
    [...Object.keys(settings), ...Object.keys(secret.stringData), 'ROLES'].sort(),
    Object.keys(compose.services.api.environment).sort(),
  )
  const { values } = readEnvironment({})
  const filled = Object.fromEntries(Object.keys(values).map((name) => [name, 'https://example.com/']))
  const redacted = Object.entries(describeVariables(filled as unknown as typeof values))
    .filter(([, value]) => value === '[redacted]')
    .map(([name]) => name)
  t.ok(redacted.includes('MASTER_KEY'))
  t.strictSame(Object.keys(secret.stringData).sort(), ['DATABASE_URL', ...redacted].sort())
  t.ok(
    Object.values(secret.stringData).every((value) => value === ''),
    'no secret has a default',
  )
})

t.test('the settings are usable as they are', async (t) => {
  const { values, problems } = readEnvironment(settings)
  t.strictSame(problems, [])
  t.equal(values.HOST, '0.0.0.0')
  t.ok(values.DRAIN_MS > 0, 'a pod answers until everybody has noticed that it goes')
})

t.test('each pod migrates, then runs its role, with the settings and the secrets', async (t) => {
  for (const [role, deployment] of Object.entries(deployments)) {
    const [migrate, service] = containersOf(deployment)
    t.equal(migrate.command?.join(' '), scripts['db:migrate'])
    t.notOk(service.command, "the image's own")
    t.equal(migrate.image, service.image)
    t.strictSame(service.env, [{ name: 'ROLES', value: role }])
    for (const { envFrom } of [migrate, service]) {
      t.strictSame(envFrom, [
        { configMapRef: { name: kustomization.configMapGenerator[0]?.name } },
        { secretRef: { name: secret.metadata.name } },
      ])
    }
  }
})

t.test("probes, ports and the Service are the service's own", async (t) => {
  const { paths } = JSON.parse(await read('openapi/openapi.json')) as { paths: Record<string, unknown> }
  for (const deployment of Object.values(deployments)) {
    const [migrate, { ports, startupProbe, livenessProbe, readinessProbe }] = containersOf(deployment)
    t.strictSame(ports, [{ name: 'http', containerPort: Number(settings['PORT']) }])
    t.match(startupProbe, { httpGet: { path: '/health/live', port: 'http' } })
    t.match(livenessProbe, { httpGet: { path: '/health/live', port: 'http' } })
    t.match(readinessProbe, { httpGet: { path: '/health/ready', port: 'http' } })
    t.notOk(migrate.livenessProbe ?? migrate.startupProbe, 'a long migration is not cut off')
  }
  t.ok('/health/live' in paths && '/health/ready' in paths)
  t.match(find('Service', NAME), {
    spec: {
      selector: api.spec.template.metadata.labels,
      ports: [{ port: 80, targetPort: 'http' }],
    },
  })
})

t.test('the grace period covers draining and closing', async (t) => {
  const [, digits = ''] = /CLOSE_TIMEOUT_MS = ([\d_]+)$/m.exec(await read('src/server.ts')) ?? []
  const closeMs = Number(digits.replaceAll('_', ''))
  const drainMs = Number(settings['DRAIN_MS'])
  t.ok(closeMs > 0)
  const graceMs = ({ spec }: Deployment): number => spec.template.spec.terminationGracePeriodSeconds * 1_000
  t.ok(graceMs(api) > drainMs + closeMs)
  t.ok(graceMs(worker) > closeMs, 'one that only works does not drain')
})

t.test('pods are not root, write nowhere and have no access to the cluster', async (t) => {
  for (const deployment of Object.values(deployments)) {
    const pod = deployment.spec.template.spec
    t.match(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: 1_000,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    t.equal(pod.automountServiceAccountToken, false)
    t.notOk(pod.volumes)
    for (const container of containersOf(deployment)) {
      t.strictSame(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      t.ok(container.resources.limits?.['memory'])
      t.notOk(container.resources.limits?.['cpu'], 'throttled, requests would be shed')
    }
  }
})

t.test('a pod goes only when another one is ready, and not two of a role at once', async (t) => {
  for (const { metadata, spec } of Object.values(deployments)) {
    t.strictSame(spec.strategy, { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } })
    t.strictSame(spec.selector.matchLabels, spec.template.metadata.labels)
    t.match(find('PodDisruptionBudget', metadata.name), {
      spec: { maxUnavailable: 1, selector: { matchLabels: spec.selector.matchLabels } },
    })
  }
  t.not(
    api.spec.selector.matchLabels['app.kubernetes.io/component'],
    worker.spec.selector.matchLabels['app.kubernetes.io/component'],
  )
  t.ok((api.spec.replicas ?? 1) >= 2)
})

t.test('workers scale with what is due, by metrics that there are', async (t) => {
  interface Autoscaler extends Manifest {
    spec: {
      scaleTargetRef: unknown
      minReplicas: number
      maxReplicas: number
      metrics: { external: { metric: { name: string } } }[]
    }
  }
  const { spec } = find('HorizontalPodAutoscaler', worker.metadata.name) as Autoscaler
  t.strictSame(spec.scaleTargetRef, {
    apiVersion: worker.apiVersion,
    kind: worker.kind,
    name: worker.metadata.name,
  })
  t.notOk(worker.spec.replicas, 'each apply would set them back')
  t.ok(spec.minReplicas >= 2)
  const names = spec.metrics.map(({ external }) => external.metric.name)
  t.ok(names.includes('bcs_queue_oldest_due_seconds'))
  const [, rule = ''] = /seriesQuery: '\{__name__=~"([^"]+)"/.exec(operations) ?? []
  for (const name of names) {
    t.ok(operations.includes(`\n| \`${name}\` *`), `${name} is one of a queue that all share`)
    t.match(name, new RegExp(`^${rule}$`), 'the adapter of docs/operations.md provides it')
  }
  // The API's replicas and the workers, one more of each while they are replaced.
  t.ok((api.spec.replicas ?? 1) + spec.maxReplicas + 2 <= 10, 'what fits into 200 connections')
})

const hasKubectl = await run('kubectl', ['kustomize', '--help']).then(
  () => true,
  () => false,
)
const builds = {
  skip: hasKubectl ? false : 'there is no kubectl (nor has CI one: Debian’s package is older than the base)',
}

t.test('kubectl builds the base, and the overlay that docs/operations.md shows', builds, async (t) => {
  const folder = await temporaryFolder(t)
  await cp(FOLDER, join(folder, 'checkout/deploy/kubernetes'), { recursive: true })
  const overlay = codeBlocks(operations, 'yaml').find((text) => text.includes('kind: Kustomization')) ?? ''
  await writeFile(join(folder, 'kustomization.yaml'), overlay)
  const build = async (path: string): Promise<Manifest[]> => {
    const { stdout } = await run('kubectl', ['kustomize', path])
    return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest)
  }
  for (const built of [await build(FOLDER), await build(folder)]) {
    t.equal(built.length, manifests.length + 1, 'and the ConfigMap')
    for (const manifest of built) t.strictSame(schemaProblems(manifest), [], manifest.kind)
  }
  const built = await build(folder)
  const settled = built.find(({ kind }) => kind === 'ConfigMap') as Manifest & { data: object }
  t.match(settled.data, { PUBLIC_URL: /^https:/, DRAIN_MS: settings['DRAIN_MS'] })
  t.match(
    built.find(({ metadata }) => metadata.name === api.metadata.name),
    {
      metadata: { namespace: /./ },
      spec: {
        template: {
          spec: {
            containers: [
              {
                image: /^registry\.example\.com\/.+:.+$/,
                envFrom: [{ configMapRef: { name: settled.metadata.name } }, {}],
              },
            ],
          },
        },
      },
    },
  )
})
