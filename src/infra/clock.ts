import fp from 'fastify-plugin'
import type pg from 'pg'
import { Gauge } from 'prom-client'
import { JobLoop } from '#lib/async/job-loop.ts'
import { clockOffsetMs, setClockOffset } from '#lib/clock.ts'
import { selectDatabaseTime } from './clock-repository.ts'

/** The difference of a host's clock from the database's. */
export interface ClockOffset {
  /** Milliseconds that the host's clock is behind; negative: ahead. */
  ms: number
  /** The part of it that may be the way there and back. */
  uncertaintyMs: number
}

const SAMPLES = 5
const LOOK_MS = 60_000
/** While an offset counts: a host's clock that is set right makes it wrong by as much as the clock was. */
const OFFSET_LOOK_MS = 5_000
/** While there was no answer yet: ids are minted by the host's clock as soon as there is one. */
const FIRST_LOOK_MS = 1_000
/** Ids and signatures of several hosts bear so much; less than that is not worth a clock that jumps. */
const TOLERATED_MS = 1_000

/** Compares the host's clock with the database's, by the sample that was answered fastest. */
export async function measureClock(pool: pg.Pool, hostNow: () => number = Date.now): Promise<ClockOffset> {
  let best: ClockOffset = { ms: 0, uncertaintyMs: Infinity }
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = hostNow()
    const there = await selectDatabaseTime(pool)
    const tookMs = hostNow() - before
    // Set back meanwhile: the two are times of different clocks.
    if (tookMs < 0) continue
    if (tookMs / 2 < best.uncertaintyMs) best = { ms: there - before - tookMs / 2, uncertaintyMs: tookMs / 2 }
  }
  if (best.uncertaintyMs === Infinity)
    throw new Error('the clock of this host was set back during each comparison')
  return best
}

/**
 * Follows the database's clock: ids, signatures and times of events are read from it where this host's own is more than
 * a second apart, which is told.
 */
export default fp(
  async (app) => {
    const gauge = new Gauge({
      name: 'bcs_clock_offset_seconds',
      help: 'How far the clock of this host is behind the clock of the database; negative: ahead',
      registers: [app.metrics.registry],
    })
    let isKnown = false
    const look = async (): Promise<void> => {
      const { ms, uncertaintyMs } = await measureClock(app.pools.api)
      isKnown = true
      gauge.set(ms / 1_000)
      const isApart = Math.abs(ms) - uncertaintyMs > TOLERATED_MS
      const isAnother = Math.abs(ms - clockOffsetMs()) - uncertaintyMs > TOLERATED_MS
      if (!isAnother) return
      setClockOffset(isApart ? Math.round(ms) : 0)
      const seconds = Math.round(ms) / 1_000
      if (isApart) {
        app.log.warn(
          { clock_offset_seconds: seconds },
          'the clocks of this host and of the database are apart: synchronise them; until then the database’s counts',
        )
      } else app.log.info({ clock_offset_seconds: seconds }, 'the clock of this host is right again')
    }
    const loop = new JobLoop({
      pass: async () => {
        await look()
        return 'idle'
      },
      firstDelayMs: FIRST_LOOK_MS,
      intervalMs: () => (isKnown ? (clockOffsetMs() === 0 ? LOOK_MS : OFFSET_LOOK_MS) : FIRST_LOOK_MS),
      onError: (error) => app.log.debug({ err: error }, 'the clocks could not be compared'),
    })
    // The first part of all: before the first id is minted.
    app.background({
      name: 'clock',
      everywhere: true,
      start: async () => {
        await look().catch((error: unknown) =>
          app.log.debug({ err: error }, 'the clocks could not be compared'),
        )
        loop.start()
      },
      stop: () => loop.stop(),
      probe: () => loop.standing,
      whenStuck: 'warning',
    })
  },
  { name: 'clock', dependencies: ['db', 'metrics', 'background'] },
)
