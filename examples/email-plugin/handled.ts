import { DatabaseSync } from 'node:sqlite'

const KEPT_DAYS = 30

/**
 * What was handled already, by the key that stays the same when the service sends again: `webhook-id` of a delivery,
 * `Idempotency-Key` of an action. The service sends again whenever it did not see the answer, for example because
 * the connection broke just then.
 */
export class Handled {
  readonly #sqlite: DatabaseSync
  readonly #underway = new Map<string, Promise<unknown>>()

  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file)
    this.#sqlite.exec(`
      create table if not exists handled (
        key text primary key, answer text not null, handled_at text not null default current_timestamp
      ) strict`)
  }

  /** Does `work` once for each key, also when two requests come at once. Work that fails may be tried again. */
  async once<Answer>(key: string, work: () => Promise<Answer>): Promise<Answer> {
    const known = this.#sqlite.prepare('select answer from handled where key = ?').get(key)
    if (known !== undefined) return JSON.parse(known['answer'] as string) as Answer
    let underway = this.#underway.get(key) as Promise<Answer> | undefined
    if (underway === undefined) {
      underway = this.#doAndKeep(key, work).finally(() => this.#underway.delete(key))
      this.#underway.set(key, underway)
    }
    return underway
  }

  close(): void {
    this.#sqlite.close()
  }

  async #doAndKeep<Answer>(key: string, work: () => Promise<Answer>): Promise<Answer> {
    const answer = await work()
    this.#sqlite.prepare('insert into handled (key, answer) values (?, ?)').run(key, JSON.stringify(answer))
    this.#sqlite
      .prepare("delete from handled where handled_at < datetime('now', ?)")
      .run(`-${KEPT_DAYS} days`)
    return answer
  }
}
