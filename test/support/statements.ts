import type pg from 'pg'

/** Collects the texts of all statements that a pool's connections send from now on. */
export function recordStatements(pool: pg.Pool): ReadonlySet<string> {
  const texts = new Set<string>()
  onStatement(pool, (statement) => texts.add(typeof statement === 'string' ? statement : statement.text))
  return texts
}

/** Collects the values that a prepared statement is sent with from now on, oldest first. */
export function recordValues(pool: pg.Pool, name: string): readonly (readonly unknown[])[] {
  const sent: (readonly unknown[])[] = []
  onStatement(pool, (statement) => {
    if (typeof statement !== 'string' && statement.name === name) sent.push(statement.values ?? [])
  })
  return sent
}

function onStatement(pool: pg.Pool, note: (statement: string | pg.QueryConfig) => void): void {
  const known = new WeakSet<pg.PoolClient>()
  pool.on('acquire', (client) => {
    if (known.has(client)) return
    known.add(client)
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    client.query = ((...args: unknown[]) => {
      note(args[0] as string | pg.QueryConfig)
      return query(...args)
    }) as typeof client.query
  })
}

/** Names of the tables that a statement reads or writes, one for each place; its own `with` names among them. */
export function tablesOf(statement: string): string[] {
  return [
    ...statement.matchAll(/\b(?:from|join|update|into|using)\s+(?:only\s+)?"?([a-z_][a-z_0-9]*)"?/gi),
  ].map(([, table = '']) => table.toLowerCase())
}

const TOKEN = /'(?:[^']|'')*'|"[^"]*"|[a-z_][a-z_0-9]*|\$\d+|[(),.;=]|[^\s]/gi
/** Words that begin a part of a statement; true: what stands there decides about rows. */
const PARTS: Readonly<Record<string, boolean>> = {
  select: false,
  returning: false,
  order: false,
  group: false,
  set: false,
  values: false,
  limit: false,
  from: true,
  join: true,
  on: true,
  using: true,
  where: true,
  having: true,
  conflict: true,
}
const BEFORE_TABLE = new Set(['from', 'join', 'update', 'into', 'using'])
const NO_ALIAS = new Set(
  'where on join left right inner outer full cross lateral set using order group limit for returning values select union as natural tablesample default'.split(
    ' ',
  ),
)

interface Scope {
  /** Decides about rows, where a word of PARTS has said so. */
  decides: boolean
  /** The query that it is a part of: a bracket that opens no query belongs to the one around it. */
  query: { tables: { table: string; alias: string }[]; bare: boolean; named: Set<string> }
}

/**
 * Returns the tables of tenants that a statement reads or writes without a condition for their tenant: neither their alias
 * with `tenant_id` nor, in the same query, a `tenant_id` alone stands where rows are decided about, or among what is inserted.
 */
export function withoutTenant(statement: string, ofTenants: ReadonlySet<string>): string[] {
  const tokens = (statement.replaceAll(/--[^\n]*/g, ' ').match(TOKEN) ?? []).map((token) =>
    token.startsWith('"') ? token.slice(1, -1) : token.startsWith("'") ? token : token.toLowerCase(),
  )
  const newQuery = (): Scope['query'] => ({ tables: [], bare: false, named: new Set() })
  let scope: Scope = { decides: false, query: newQuery() }
  const open: Scope[] = []
  const queries = [scope.query]
  /** Aliases with a condition anywhere: a query inside another one may name the tenant of the one around it. */
  const named = new Set<string>()
  for (const [index, token] of tokens.entries()) {
    const [before, next] = [tokens[index - 1], tokens[index + 1]]
    if (token === '(') {
      open.push(scope)
      const isQuery =
        next === 'select' || next === 'with' || next === 'insert' || next === 'update' || next === 'delete'
      scope = { decides: scope.decides, query: isQuery ? newQuery() : scope.query }
      if (isQuery) {
        scope.decides = false
        queries.push(scope.query)
      } else if (tokens[index - 2] === 'into' || tokens[index - 4] === 'into') scope.decides = true
    } else if (token === ')') scope = open.pop() ?? scope
    else if (token === 'tenant_id' && scope.decides) {
      if (before === '.') named.add(tokens[index - 2] ?? '')
      else scope.query.bare = true
    } else if (before !== '.' && token in PARTS) scope.decides = PARTS[token] === true
    if (token === 'union' && before !== '.') {
      scope = { decides: false, query: newQuery() }
      queries.push(scope.query)
    }
    if (!BEFORE_TABLE.has(before === 'only' ? (tokens[index - 2] ?? '') : (before ?? ''))) continue
    if (!ofTenants.has(token) || (next === '(' && before !== 'into')) continue
    const after = next === 'as' ? tokens[index + 2] : next
    const alias = after !== undefined && /^[a-z_]/i.test(after) && !NO_ALIAS.has(after) ? after : token
    scope.query.tables.push({ table: token, alias })
  }
  return queries.flatMap(({ tables, bare }) =>
    tables
      .filter(({ alias }) => !named.has(alias) && !(bare && tables.length === 1))
      .map(({ table }) => table),
  )
}
