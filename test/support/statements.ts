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
