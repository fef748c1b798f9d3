import { type Check, type Finding, orOk, warning } from './check.ts'

/** Variables that are valid one by one, and wrong together or for this place. */
export const settingsCheck: Check = {
  name: 'settings',
  needs: 'nothing',
  async run({ config }) {
    const findings: Finding[] = []
    if (!config.loopback && config.trustProxy.length === 0) {
      findings.push(
        warning(
          'TRUST_PROXY is empty: behind a proxy all callers have its address, for limits and logs.',
          'Give the addresses of the proxies in front, if there are any.',
        ),
      )
    }
    if (!config.loopback && config.publicUrl === null) {
      findings.push(
        warning(
          'PUBLIC_URL is empty: the URLs of webhook triggers are given out as paths.',
          'Give the address by which the outside reaches this service.',
        ),
      )
    }
    if (config.retention.bodyDays > config.retention.days) {
      findings.push(
        warning(
          `BODY_RETENTION_DAYS (${config.retention.bodyDays}) is beyond RETENTION_DAYS (${config.retention.days}): bodies go with their events.`,
          'Lower it, or raise RETENTION_DAYS.',
        ),
      )
    }
    if (config.platform.url !== null && config.platform.token === null && !config.loopback) {
      findings.push(
        warning(
          'PLATFORM_URL is set without PLATFORM_TOKEN: the platform is called without a token.',
          'Give PLATFORM_TOKEN, unless the platform asks for none.',
        ),
      )
    }
    if (config.databaseUrl === null && !config.loopback) {
      findings.push(
        warning(
          'DATABASE_URL is empty: a service that others reach runs on the embedded database.',
          'Give DATABASE_URL of a Postgres that is backed up.',
        ),
      )
    }
    return orOk(findings, 'The variables fit together.')
  },
}
