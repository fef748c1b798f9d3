import type { Test } from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { type ServiceOptions, type ServiceProcess, startService } from '#test/support/service-process.ts'

/** Keeps one process of the service running, as systemd or a container's restart policy does. */
export class Supervisor {
  readonly #t: Test
  readonly #options: ServiceOptions
  #running: ServiceProcess | null = null
  #ready: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(t: Test, options: ServiceOptions) {
    this.#t = t
    this.#options = options
  }

  async start(): Promise<void> {
    this.#options.port ??= await freePort()
    this.#ready = this.#startOne()
    await this.#ready
  }

  /** Null: there is none that answers. */
  get process(): ServiceProcess | null {
    return this.#running
  }

  /** Kills the process in this moment; another one takes its place. */
  kill(): void {
    this.#running?.kill('SIGKILL')
    this.#running = null
  }

  /** Resolves when a process answers. */
  async ready(): Promise<void> {
    while (this.#running === null) await this.#ready
  }

  async #startOne(): Promise<void> {
    const service = await startService(this.#t, this.#options)
    // Runs before the process's own teardown, which ends it.
    this.#t.teardown(() => {
      this.#isStopped = true
    })
    this.#running = service
    void service.exited.then(() => {
      this.#running = null
      if (!this.#isStopped) this.#ready = this.#startOne()
    })
  }
}
