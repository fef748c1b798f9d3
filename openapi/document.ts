import { pino } from 'pino'
import { isUnavailable } from '#db/errors.ts'
import { type App, buildApp } from '#src/app.ts'
import { loadConfig } from '#config/config.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { describeFlowProblems } from '#lib/flow/index.ts'
import { problemCatalogue } from '#lib/api/problem.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { renderFlowProblems } from './flow-problems.ts'
import { renderProblems } from './problems.ts'

/** Nobody listens there: routes and schemas need no database, and pools connect when they are first used. */
const NO_DATABASE = 'postgres://nobody@127.0.0.1:1/none'

/** The text of every generated document, by its path from the root of the repository. */
export async function generateDocuments(): Promise<Record<string, string>> {
  const app = await buildApp(loadConfig({ ROLES: 'api', LOG_LEVEL: 'silent' }, null), {
    logger: pino({ level: 'silent' }),
    databaseUrl: NO_DATABASE,
    secretBox: createSecretBox(Buffer.alloc(32)),
    egress: { allow: parseEgressAllow(''), dnsServers: [], httpsOnly: false },
    openTenantId: null,
  })
  try {
    await makeReady(app)
    return {
      'openapi/openapi.json': `${JSON.stringify(inStableOrder(app.swagger()), null, 2)}\n`,
      'docs/problems.md': renderProblems(problemCatalogue()),
      'docs/flow-problems.md': renderFlowProblems(describeFlowProblems()),
    }
  } finally {
    await app.close()
  }
}

/** Modules that greet the database find none. By then every route and schema is there. */
async function makeReady(app: App): Promise<void> {
  try {
    await app.ready()
  } catch (error) {
    if (!isUnavailable(error)) throw error
  }
}

/** Paths and components by name, so that the order of registration makes no difference. */
function inStableOrder(document: ReturnType<App['swagger']>): object {
  const { paths, components, ...rest } = document as {
    paths?: object
    components?: Record<string, object>
  }
  return {
    ...rest,
    paths: byName(paths ?? {}),
    components: Object.fromEntries(
      Object.entries(components ?? {}).map(([kind, named]) => [kind, byName(named)]),
    ),
  }
}

function byName(named: object): object {
  return Object.fromEntries(Object.entries(named).sort(([a], [b]) => (a < b ? -1 : 1)))
}
