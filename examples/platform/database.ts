import { DatabaseSync } from 'node:sqlite'

/** Every table names its tenant; money is whole cents; what is JSON is text. */
const SCHEMA = `
  create table if not exists products (
    tenant_id text not null, id text not null, name text not null, description text, sku text,
    status text not null, price_cents integer not null, currency text not null,
    stock integer, images text not null, tags text not null, collections text not null, created_at text not null, updated_at text not null,
    primary key (tenant_id, id), unique (tenant_id, sku)
  ) strict;
  create table if not exists customers (
    tenant_id text not null, id text not null, email text not null collate nocase, name text, phone text,
    accepts_marketing integer not null, tags text not null, location text,
    created_at text not null, updated_at text not null,
    primary key (tenant_id, id), unique (tenant_id, email)
  ) strict;
  create table if not exists orders (
    tenant_id text not null, id text not null, number integer not null, customer_id text not null,
    status text not null, total_cents integer not null, currency text not null, details text not null,
    created_at text not null, updated_at text not null,
    primary key (tenant_id, id), unique (tenant_id, number),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
  ) strict;
  -- Title and price are those of the day, and outlive the product.
  create table if not exists order_items (
    tenant_id text not null, order_id text not null, position integer not null, product_id text not null,
    name text not null, quantity integer not null, unit_price_cents integer not null,
    primary key (tenant_id, order_id, position),
    foreign key (tenant_id, order_id) references orders (tenant_id, id)
  ) strict;
  create table if not exists notifications (
    tenant_id text not null, id text not null, channel text not null, recipient text, subject text,
    content text not null, created_at text not null,
    primary key (tenant_id, id)
  ) strict;
  create table if not exists tasks (
    tenant_id text not null, id text not null, title text not null, description text, due_date text,
    priority text not null, status text not null, assignee text, created_at text not null,
    updated_at text not null,
    primary key (tenant_id, id)
  ) strict;
  create table if not exists leads (
    tenant_id text not null, id text not null, name text, email text collate nocase, phone text, source text,
    status text not null, assigned_to text, last_contacted text, created_at text not null, updated_at text not null,
    primary key (tenant_id, id)
  ) strict;
  create table if not exists bookings (
    tenant_id text not null, id text not null, service text not null, customer_id text not null, staff text,
    status text not null, starts_at text not null, ends_at text not null, time_zone text not null,
    details text not null, created_at text not null, updated_at text not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
  ) strict;
  -- What was said between the shop and people. Of one that an automation sent, automated is 1.
  create table if not exists messages (
    tenant_id text not null, id text not null, direction text not null, channel text not null,
    sender text not null, recipient text not null, subject text, text text not null, automated integer not null,
    customer_id text, lead_id text, created_at text not null,
    primary key (tenant_id, id)
  ) strict;
  -- Events that the automation service has not acknowledged yet, and those that it refused.
  create table if not exists outbox (
    seq integer primary key autoincrement, id text not null unique, tenant_id text not null,
    event text not null, data text not null, happened_at text not null, refusal text,
    -- What the action was called with that the event is a consequence of.
    causation_id text, causation_depth integer
  ) strict;
  create index if not exists outbox_waiting_idx on outbox (tenant_id, seq) where refusal is null;
  -- What was answered under each Idempotency-Key.
  create table if not exists answers (
    tenant_id text not null, key text not null, fingerprint text not null, status integer not null,
    body text not null, created_at text not null,
    primary key (tenant_id, key)
  ) strict;
`

/** @param file `:memory:` for a database that ends with the process */
export function openDatabase(file: string): Database {
  return new Database(file)
}

type Value = string | number | null

/** SQLite works within the call: what runs in `transaction` is never interleaved with anything else. */
export class Database {
  readonly #sqlite: DatabaseSync

  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file)
    this.#sqlite.exec('pragma journal_mode = wal; pragma foreign_keys = on;')
    this.#sqlite.exec(SCHEMA)
  }

  all<Row>(statement: string, ...values: Value[]): Row[] {
    return this.#sqlite.prepare(statement).all(...values) as Row[]
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- who selects the columns names their type
  get<Row>(statement: string, ...values: Value[]): Row | undefined {
    return this.all<Row>(statement, ...values)[0]
  }

  /** The tenant's rows, those that were added last first. */
  newest<Row>(table: string, columns: string, tenantId: string, limit: number): Row[] {
    return this.all<Row>(
      `select ${columns} from ${table} where tenant_id = ? order by rowid desc limit ?`,
      tenantId,
      limit,
    )
  }

  /** One row of the tenant's. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as in get
  find<Row>(table: string, columns: string, tenantId: string, id: string): Row | undefined {
    return this.get<Row>(`select ${columns} from ${table} where tenant_id = ? and id = ?`, tenantId, id)
  }

  /** @returns how many rows it changed */
  run(statement: string, ...values: Value[]): number {
    return Number(this.#sqlite.prepare(statement).run(...values).changes)
  }

  insert(table: string, row: Record<string, Value>): void {
    const names = Object.keys(row)
    const places = names.map(() => '?').join(', ')
    this.run(`insert into ${table} (${names.join(', ')}) values (${places})`, ...Object.values(row))
  }

  update(table: string, tenantId: string, id: string, changes: Record<string, Value>): void {
    const sets = Object.keys(changes).map((name) => `${name} = ?`)
    this.run(
      `update ${table} set ${sets.join(', ')} where tenant_id = ? and id = ?`,
      ...Object.values(changes),
      tenantId,
      id,
    )
  }

  transaction<Result>(work: () => Result): Result {
    this.#sqlite.exec('begin immediate')
    try {
      const result = work()
      this.#sqlite.exec('commit')
      return result
    } catch (error) {
      this.#sqlite.exec('rollback')
      throw error
    }
  }

  close(): void {
    this.#sqlite.close()
  }
}
