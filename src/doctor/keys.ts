import { countSealed, describeCounts } from '#infra/sealed/count.ts'
import { type Check, failed, type Finding, ok, orOk, readRow, warning } from './check.ts'

export const masterKeyCheck: Check = {
  name: 'master key',
  needs: 'tables',
  async run({ pool, secretBox, config }) {
    if (secretBox === null) {
      const { sealed } = await readRow<{ sealed: boolean }>(
        pool,
        'select exists (select from plugin_secrets) as sealed',
      )
      const { keys } = await readRow<{ keys: boolean }>(pool, 'select exists (select from api_keys) as keys')
      if (!sealed && !keys && config.loopback && config.platformKey === null) {
        return [ok('None yet: the first start in open mode makes one.')]
      }
      return [
        failed(
          'There is no MASTER_KEY and no master.key in DATA_DIR: the service does not start.',
          'Give the key that sealed the stored secrets; for a new deployment make one with "openssl rand -base64 32".',
        ),
      ]
    }
    const { total, older, unreadable, unreadableBy } = await countSealed(pool, secretBox)
    const findings: Finding[] = []
    if (unreadable > 0) {
      findings.push(
        failed(
          `${unreadable} of ${total} stored secrets are sealed under a master key that is not configured (${describeCounts(unreadableBy)}).`,
          'Give that key in MASTER_KEY_PREVIOUS, or repair them: docs/operations.md, "Changing the master key".',
        ),
      )
    }
    if (older > 0) {
      findings.push(
        warning(
          `${older} stored secrets are sealed under an older master key.`,
          'Run "npm run key -- reseal".',
        ),
      )
    }
    return orOk(findings, `All ${total} stored secrets are sealed under MASTER_KEY.`)
  },
}

export const accessCheck: Check = {
  name: 'access',
  needs: 'tables',
  async run({ pool, config }) {
    const { keys } = await readRow<{ keys: boolean }>(pool, 'select exists (select from api_keys) as keys')
    if (keys || config.platformKey !== null) return [ok('Every request needs a key.')]
    if (config.loopback) {
      return [
        warning(
          'There is no key: in open mode everybody on this machine may do everything.',
          'Make one: npm run key -- create --kind platform --name backend.',
        ),
      ]
    }
    return [
      failed(
        `HOST ${config.host} can be reached from outside and there is no key: the service does not start.`,
        'Give PLATFORM_KEY, make a key with "npm run key", or use HOST=127.0.0.1.',
      ),
    ]
  },
}
