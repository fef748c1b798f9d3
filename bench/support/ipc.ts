import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** The commands that a helper process takes. Parameters and results travel as JSON. */
export type Commands = Record<string, (params: never) => unknown>

export interface Helper<C extends Commands> extends AsyncDisposable {
  readonly pid: number
  call<K extends keyof C & string>(
    command: K,
    params: Parameters<C[K]>[0],
  ): Promise<Awaited<ReturnType<C[K]>>>
}

interface Request {
  id: number
  command: string
  params: unknown
}

interface Reply {
  id: number
  result?: unknown
  error?: string
}

const PROCESSES = join(import.meta.dirname, '../processes')

/** In a helper process: answers its parent's commands, and ends with it. */
export function serve(commands: Commands): void {
  process.on('message', ({ id, command, params }: Request) => {
    void (async () => commands[command]?.(params as never))()
      .then((result): Reply => ({ id, result: result ?? null }))
      .catch((error: unknown): Reply => ({ id, error: (error as Error).stack ?? String(error) }))
      .then((reply) => process.send?.(reply))
  })
  process.on('disconnect', () => process.exit(0))
  // Ctrl-C reaches the whole group; the parent ends its helpers when it has put everything away.
  process.on('SIGINT', () => undefined)
  process.send?.('ready')
}

/** Starts `bench/processes/<name>.ts`. */
export async function startHelper<C extends Commands>(name: string): Promise<Helper<C>> {
  const child = fork(join(PROCESSES, `${name}.ts`), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>()
  let calls = 0
  const failAll = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const exited = once(child, 'exit')
  await Promise.race([
    once(child, 'message'),
    exited.then(() => Promise.reject(new Error(`${name} did not start`))),
  ])
  void exited.then(([code, signal]) => failAll(new Error(`${name} ended: ${String(code ?? signal)}`)))
  child.on('message', ({ id, result, error }: Reply) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(result as never)
    else call?.reject(new Error(`${name}: ${error}`))
  })
  return {
    pid: child.pid ?? 0,
    call: (command, params) =>
      new Promise((resolve, reject) => {
        waiting.set(++calls, { resolve, reject })
        child.send({ id: calls, command, params } satisfies Request)
      }),
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}
