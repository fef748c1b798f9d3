import fp from 'fastify-plugin'
import type pg from 'pg'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { withTimeout } from '#lib/async/timeout.ts'
import { countSealed, describeCounts } from './count.ts'
import { countWaitingPlugins } from './repository.ts'

export interface SealedState {
  status: 'ok' | 'warning'
  /** One sentence for the operator, with counts and no values. */
  detail: string
  /** One line for the log, if the keys do not fit the database: told once, by the first count that succeeds. */
  wrongKey?: string
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Tells whether the stored secrets can be opened with the master keys that are configured. */
    sealedState(): Promise<SealedState>
  }
}

/** Counting reads whole tables. */
const CACHE_MS = 60_000
/** The time for one count; after a timeout the next look counts anew. */
const TIMEOUT_MS = 1_000
const REMEDY =
  'Give that key in MASTER_KEY_PREVIOUS, or rotate the secrets of these plugins and enter again what else it sealed.'

export default fp(
  async (app) => {
    let latest: Promise<SealedState> | null = null
    let until = 0
    let isTold = false
    const look = async (): Promise<SealedState> => {
      const state = await sealedState(app.pools.api, app.secretBox)
      if (state.wrongKey !== undefined && !isTold) {
        isTold = true
        app.log.error(state.wrongKey)
      }
      return state
    }
    app.decorate('sealedState', async () => {
      if (latest === null || Date.now() >= until) {
        until = Date.now() + CACHE_MS
        latest = look().catch((error: unknown) => {
          until = 0
          app.log.warn({ err: error }, 'readiness: the stored secrets could not be counted')
          return { status: 'warning' as const, detail: 'The stored secrets could not be counted in time.' }
        })
      }
      return latest
    })
    // A wrong key is told of before the first delivery waits for it.
    app.addHook('onReady', async () => {
      await app.sealedState()
    })
  },
  { name: 'sealed', dependencies: ['db', 'secrets'] },
)

async function sealedState(pool: pg.Pool, box: SecretBox): Promise<SealedState> {
  const [counts, waiting] = await withTimeout(
    Promise.all([countSealed(pool, box), countWaitingPlugins(pool)]),
    TIMEOUT_MS,
  )
  const { total, unreadable, unreadableBy, older } = counts
  if (unreadable > 0) {
    const what = `stored secrets are sealed under a master key that is not configured (${describeCounts(unreadableBy)}).`
    const guess = unreadable === total ? ' MASTER_KEY is likely not the one of this database.' : ''
    return {
      status: 'warning',
      detail: `${unreadable} ${what} ${REMEDY}`,
      wrongKey: `MASTER_KEY: ${unreadable} of ${total} ${what}${guess} ${REMEDY}`,
    }
  }
  if (waiting > 0) {
    const detail = `Deliveries of ${waiting} plugins wait, since a stored secret of theirs cannot be opened: their reason is secret_unreadable.`
    return { status: 'warning', detail }
  }
  const left = `${older} are sealed under an older key: "npm run key -- reseal" seals them under the current one.`
  return { status: 'ok', detail: `All can be opened.${older > 0 ? ` ${left}` : ''}` }
}
