import { measureClock } from '#infra/clock.ts'
import { type Check, failed, ok, warning } from './check.ts'

const WARNING_MS = 250
const FAILED_MS = 1_000
const FIX = 'Synchronise the clocks of this machine and of the database server, by NTP for example.'

export const clockCheck: Check = {
  name: 'clock',
  needs: 'database',
  async run({ pool, now }) {
    const { ms, uncertaintyMs } = await measureClock(pool, now)
    const apart = Math.max(Math.abs(ms) - uncertaintyMs, 0)
    const detail = `This machine's clock is ${Math.abs(Math.round(ms))} ms ${ms > 0 ? 'behind' : 'ahead of'} the database's.`
    if (apart > FAILED_MS) return [failed(detail, FIX)]
    return apart > WARNING_MS ? [warning(detail, FIX)] : [ok(detail)]
  },
}
