/** The ceiling of delivery: signed POSTs by undici and nothing else, no queue, no log of attempts, no limits. */
import { Pool } from 'undici'
import { newId } from '#lib/ids.ts'
import { generateSecret, parseSecret, signWebhook } from '#lib/secrets/signature.ts'
import { serve } from '../support/ipc.ts'

export interface PlainPosts {
  /** Origin and path. */
  url: string
  body: string
  count: number
  connections: number
}

const keys = [parseSecret(generateSecret())]
const pools = new Map<string, Pool>()

function poolOf(origin: string, connections: number): Pool {
  const name = `${origin} ${connections}`
  let pool = pools.get(name)
  if (pool === undefined) pools.set(name, (pool = new Pool(origin, { connections })))
  return pool
}

/** @returns POSTs per second */
async function run({ url, body, count, connections }: PlainPosts): Promise<number> {
  const { origin, pathname } = new URL(url)
  const pool = poolOf(origin, connections)
  let started = 0
  const startedAt = performance.now()
  const post = async (): Promise<void> => {
    const id = newId()
    const timestampSeconds = Math.floor(Date.now() / 1_000)
    const { statusCode, body: answer } = await pool.request({
      method: 'POST',
      path: pathname,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'bench',
        'webhook-id': id,
        'webhook-timestamp': String(timestampSeconds),
        'webhook-signature': signWebhook({ id, timestampSeconds, body }, keys),
      },
      body,
    })
    await answer.dump()
    if (statusCode !== 204) throw new Error(`the receiver answered ${statusCode}`)
  }
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (started++ < count) await post()
    }),
  )
  return count / ((performance.now() - startedAt) / 1_000)
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
