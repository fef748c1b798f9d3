import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap'
import { validate as deployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment'
import { validate as disruptionBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget'
import { validate as podAutoscaler } from 'kubernetes-models/_schemas/IoK8sApiAutoscalingV2HorizontalPodAutoscaler'
import { validate as secret } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Secret'
import { validate as service } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service'

export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string }
}

type Validate = ((data: unknown) => boolean) & {
  errors?: { instancePath: string; message?: string; keyword: string; params: unknown }[] | null
}

const SCHEMAS: Record<string, Validate> = {
  'v1 ConfigMap': configMap,
  'v1 Secret': secret,
  'v1 Service': service,
  'apps/v1 Deployment': deployment,
  'autoscaling/v2 HorizontalPodAutoscaler': podAutoscaler,
  'policy/v1 PodDisruptionBudget': disruptionBudget,
}

/**
 * Returns what is wrong with a manifest by Kubernetes' published schema, one sentence for each problem. Members that the schema
 * does not know are problems, as they are for `kubectl apply`.
 */
export function schemaProblems(manifest: Manifest): string[] {
  const kind = `${manifest.apiVersion} ${manifest.kind}`
  const validate = SCHEMAS[kind]
  if (validate === undefined) return [`${kind}: no schema`]
  const unread = new Set<string>()
  const isValid = validate(recorded(manifest, '', unread))
  const errors = isValid ? [] : (validate.errors ?? [])
  return [
    ...errors.map(
      ({ instancePath, keyword, params }) => `${instancePath}: ${keyword} ${JSON.stringify(params)}`,
    ),
    ...[...unread].map((path) => `${path}: unknown`),
  ]
}

/**
 * Returns the value such that `unread` holds the path of every member that nobody has read. The published schemas allow
 * unknown members; compiled, they read those that they know and no other.
 */
function recorded(value: unknown, path: string, unread: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value
  const members = new Map(
    Object.entries(value).map(([name, member]) => [name, recorded(member, `${path}/${name}`, unread)]),
  )
  for (const name of members.keys()) unread.add(`${path}/${name}`)
  return new Proxy(value, {
    get: (target, name, receiver) => {
      if (typeof name !== 'string' || !members.has(name))
        return Reflect.get(target, name, receiver) as unknown
      unread.delete(`${path}/${name}`)
      return members.get(name)
    },
  })
}
