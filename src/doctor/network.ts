import { isIP } from 'node:net'
import { allowOrigin, createEgress, type EgressAllowRule, parseEgressAllow } from '#infra/egress/index.ts'
import { createNameResolver } from '#infra/egress/resolve.ts'
import { type Check, type DoctorContext, failed, type Finding, ok, orOk, readRow, warning } from './check.ts'

const PLUGINS_MAX = 200
const PROBE_TIMEOUT_MS = 5_000
const OPEN_MODE_EGRESS = ',127.0.0.0/8,[::1]'

/** The names that this deployment has to reach: the platform, the AI provider and plugins. */
export const dnsCheck: Check = {
  name: 'dns',
  needs: 'tables',
  async run(ctx) {
    const { config } = ctx
    const plugins = await pluginUrls(ctx)
    const urls = [config.platform.url, config.ai.baseUrl, ...plugins.map(({ url }) => url)]
    const hosts = new Set(
      urls
        .map((url) => URL.parse(url ?? '')?.hostname.replace(/^\[|\]$/g, '') ?? '')
        .filter((host) => host !== '' && isIP(host) === 0),
    )
    const resolver = createNameResolver(config.egress.dns)
    try {
      const answers = await Promise.all(
        [...hosts].map(async (host) =>
          resolver.resolve(host).then(
            () => null,
            (error: unknown) => ({ host, message: (error as Error).message }),
          ),
        ),
      )
      const lost = answers.filter((answer) => answer !== null)
      if (lost.length === 0) return [ok(`${hosts.size} names that are called resolve.`)]
      const by =
        config.egress.dns.length === 0
          ? "the system's resolver"
          : `EGRESS_DNS ${config.egress.dns.join(', ')}`
      const first = lost.slice(0, 5).map(({ host, message }) => `${host} (${message})`)
      const isAll = lost.length === hosts.size
      const finding = isAll ? failed : warning
      return [
        finding(
          `${lost.length} of ${hosts.size} names do not resolve by ${by}: ${first.join(', ')}.`,
          isAll
            ? 'See that the resolver answers from this machine, or give another one in EGRESS_DNS.'
            : 'See that these names exist.',
        ),
      ]
    } finally {
      resolver.close()
    }
  },
}

/** Checks whether the addresses that are to be called may be called, and the platform answers. */
export const egressCheck: Check = {
  name: 'egress',
  needs: 'tables',
  async run(ctx) {
    const { config } = ctx
    const { keys } = await readRow<{ keys: boolean }>(
      ctx.pool,
      'select exists (select from api_keys) as keys',
    )
    const open = config.loopback && config.platformKey === null && !keys
    let allow: EgressAllowRule[]
    try {
      allow = parseEgressAllow(config.egress.allow + (open ? OPEN_MODE_EGRESS : ''))
    } catch (error) {
      return [
        failed(
          `EGRESS_ALLOW: ${(error as Error).message}. The service does not start.`,
          'Give host-or-CIDR[:port], comma separated.',
        ),
      ]
    }
    const findings: Finding[] = []
    const options = { dnsServers: config.egress.dns, httpsOnly: config.egress.httpsOnly }
    const egress = createEgress({ ...options, allow })
    try {
      const plugins = await pluginUrls(ctx)
      const refusals = await Promise.all(
        plugins.map(async ({ slug, url }) => ({ slug, refusal: await egress.check(url) })),
      )
      for (const { slug, refusal } of refusals) {
        if (refusal === null) continue
        findings.push(
          warning(
            `Deliveries to the plugin ${slug} are blocked: ${refusal.detail}.`,
            'Have the plugin registered by a public address, or allow this one in EGRESS_ALLOW.',
          ),
        )
      }
    } finally {
      await egress.close()
    }
    if (config.platform.url !== null) findings.push(...(await probePlatform(ctx, config.platform.url)))
    return orOk(findings, 'Nothing that is called is blocked.')
  },
}

/** Any answer will do: what it is of is the platform's business. */
async function probePlatform({ config }: DoctorContext, url: string): Promise<Finding[]> {
  const egress = createEgress({
    allow: allowOrigin(url),
    dnsServers: config.egress.dns,
    httpsOnly: false,
  })
  try {
    const { status, errorClass, errorDetail } = await egress.request({
      method: 'GET',
      url,
      headers: {},
      timeoutMs: PROBE_TIMEOUT_MS,
    })
    if (status !== null) return []
    return [
      failed(
        `The platform at PLATFORM_URL does not answer: ${errorClass ?? 'error'}, ${errorDetail ?? ''}.`,
        'See that PLATFORM_URL is right and can be reached from this machine.',
      ),
    ]
  } finally {
    await egress.close()
  }
}

/** Plugins that deliveries go to, the newest first. */
async function pluginUrls({ pool }: DoctorContext): Promise<{ slug: string; url: string }[]> {
  const { rows } = await pool.query<{ slug: string; url: string }>(
    `select slug, webhook_url as url from plugins where deleted_at is null and status = 'active'
     order by id desc limit ${PLUGINS_MAX}`,
  )
  return rows
}
