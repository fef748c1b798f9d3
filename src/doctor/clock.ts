import { type Check, failed, ok, readRow, warning } from './check.ts'

const SAMPLES = 5
const WARNING_MS = 250
const FAILED_MS = 1_000
const FIX = 'Synchronise the clocks of this machine and of the database server, by NTP for example.'

/** Compares this machine's clock with the database's, by the sample that was answered fastest. */
export const clockCheck: Check = {
  name: 'clock',
  needs: 'database',
  async run({ pool, now }) {
    let [offset, fastest] = [0, Infinity]
    for (let sample = 0; sample < SAMPLES; sample++) {
      const before = now()
      const { ms } = await readRow<{ ms: number }>(
        pool,
        'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
      )
      const tookMs = now() - before
      if (tookMs < fastest) [offset, fastest] = [before + tookMs / 2 - ms, tookMs]
    }
    const apart = Math.max(Math.abs(offset) - fastest / 2, 0)
    const detail = `This machine's clock is ${Math.abs(Math.round(offset))} ms ${offset < 0 ? 'behind' : 'ahead of'} the database's.`
    if (apart > FAILED_MS) return [failed(detail, FIX)]
    return apart > WARNING_MS ? [warning(detail, FIX)] : [ok(detail)]
  },
}
