import type { Config } from '#config/config.ts'
import { lowCapacity } from '#modules/webhook-delivery/index.ts'
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
    findings.push(...capacityFindings(config))
    if (!config.loopback && config.roles.api && config.drainMs === 0) {
      findings.push(
        warning(
          'DRAIN_MS is 0: a balancer in front sends requests to a process that is stopping until it notices.',
          'Give the time that it needs: docs/operations.md, "Without a gap".',
        ),
      )
    }
    return orOk(findings, 'The variables fit together.')
  },
}

/** Finds the limits for which a worker has fewer places than were asked for. */
function capacityFindings({ roles, delivery, openFiles }: Config): Finding[] {
  if (!roles.worker) return []
  const findings: Finding[] = []
  if (delivery.maxInFlight < delivery.maxInFlightAsked) {
    findings.push(
      warning(
        `MAX_IN_FLIGHT (${delivery.maxInFlightAsked}) is lowered to ${delivery.maxInFlight}: this process may open ${openFiles ?? 0} files.`,
        `Raise "ulimit -n" to ${delivery.maxInFlightAsked * 4} or more.`,
      ),
    )
  }
  const low = lowCapacity(delivery)
  if (low !== null) findings.push(warning(`${low}.`, 'Raise MAX_IN_FLIGHT, or lower MAX_IN_FLIGHT_CEILING.'))
  return findings
}
