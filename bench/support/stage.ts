import pg from 'pg'
import type { Commands as ReceiverCommands } from '../processes/receiver.ts'
import type { Bed } from './bed.ts'
import { type Commands, type Helper, startHelper } from './ipc.ts'
import { type Service, type ServiceOptions, startService } from './service.ts'

export interface StageOptions {
  bed: Bed
  /** Small loads: shows that every figure can be taken, not what it is. */
  quick: boolean
  profileFolder: string | null
  /** Of the services. */
  env: Record<string, string>
  say: (message: string) => void
}

export interface FigureDatabase {
  readonly name: string
  readonly url: string
  readonly pool: pg.Pool
}

/**
 * Gives one figure what it works with. All processes and folders that it started are stopped and removed when the
 * stage is disposed of.
 */
export class Stage implements AsyncDisposable {
  readonly bed: Bed
  readonly quick: boolean
  readonly say: (message: string) => void
  readonly #options: StageOptions
  readonly #undo = new AsyncDisposableStack()

  constructor(options: StageOptions) {
    this.bed = options.bed
    this.quick = options.quick
    this.say = options.say
    this.#options = options
  }

  /** A value for the whole measurement or for the quick one. */
  pick<T>(full: T, quick: T): T {
    return this.quick ? quick : full
  }

  /** A stage for a part of the figure. */
  inner(): Stage {
    return new Stage(this.#options)
  }

  async database(): Promise<FigureDatabase> {
    const { name, url } = await this.bed.createDatabase()
    this.#undo.defer(() => this.bed.dropDatabase(name))
    const pool = new pg.Pool({ connectionString: url, max: 4, application_name: 'bench' })
    pool.on('error', () => undefined)
    this.#undo.defer(() => pool.end())
    return { name, url, pool }
  }

  /** @param options `env` where the figure differs from the defaults */
  async service(
    options: Pick<ServiceOptions, 'databaseUrl' | 'roles'> & Partial<Pick<ServiceOptions, 'env'>>,
  ): Promise<Service> {
    const { profileFolder, env } = this.#options
    return this.#undo.use(
      await startService(this.bed, { ...options, profileFolder, env: { ...options.env, ...env } }),
    )
  }

  async helper<C extends Commands>(name: string): Promise<Helper<C>> {
    return this.#undo.use(await startHelper<C>(name))
  }

  async receiver(): Promise<Helper<ReceiverCommands> & { url: string }> {
    const helper = await this.helper<ReceiverCommands>('receiver')
    return { ...helper, url: await helper.call('listen', null) }
  }

  /** Returns the headers of a caller with the platform key. */
  headers(tenantId: string): Record<string, string> {
    return {
      'content-type': 'application/json',
      authorization: `Bearer ${this.bed.platformKey}`,
      'x-tenant-id': tenantId,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync()
  }
}
