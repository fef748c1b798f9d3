export interface PluginConfig {
  host: string
  /** 0: any free one. */
  port: number
  /** Where the automation service reaches this plugin. Null: where it listens. */
  publicUrl: string | null
  /** The automation service. */
  automationUrl: string
  /** A plugin key or a tenant's key. Null: the service is in open mode. */
  automationKey: string | null
  /** The plugin's slug there. */
  slug: string
  /** `whsec_…`: what deliveries and action calls are signed with. */
  webhookSecret: string
  /** `smtp://user:password@host:port` */
  smtpUrl: string
  from: string
  /** A SQLite file that remembers what was handled; `:memory:` forgets it at a restart. */
  databaseFile: string
  logLevel: string
}

/** @throws with every variable that is missing or wrong */
export function readConfig(env: NodeJS.ProcessEnv): PluginConfig {
  const problems: string[] = []
  const webhookSecret = env['WEBHOOK_SECRET'] ?? ''
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(webhookSecret)) {
    problems.push(
      'WEBHOOK_SECRET: give the signing secret; make one with: echo "whsec_$(openssl rand -base64 32)"',
    )
  }
  const smtpUrl = env['SMTP_URL'] ?? 'smtp://127.0.0.1:1025'
  if (!/^smtps?:\/\//.test(smtpUrl)) problems.push('SMTP_URL: give smtp://user:password@host:port')
  const port = Number(env['PORT'] ?? 4100)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) problems.push('PORT: give 0 to 65535')
  if (problems.length > 0) throw new Error(`The configuration is not usable:\n  ${problems.join('\n  ')}`)
  return {
    host: env['HOST'] ?? '127.0.0.1',
    port,
    publicUrl: env['PUBLIC_URL'] ?? null,
    automationUrl: (env['AUTOMATION_URL'] ?? 'http://127.0.0.1:3000').replace(/\/+$/, ''),
    automationKey: env['AUTOMATION_KEY'] ?? null,
    slug: env['PLUGIN_SLUG'] ?? 'email-marketing',
    webhookSecret,
    smtpUrl,
    from: env['MAIL_FROM'] ?? 'Shop <hello@shop.example>',
    databaseFile: env['DATABASE_FILE'] ?? ':memory:',
    logLevel: env['LOG_LEVEL'] ?? 'info',
  }
}
