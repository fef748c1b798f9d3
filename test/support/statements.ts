import type pg from 'pg'

/** Collects the texts of all statements that a pool's connections send from now on. */
export function recordStatements(pool: pg.Pool): ReadonlySet<string> {
  const texts = new Set<string>()
  const known = new WeakSet<pg.PoolClient>()
  pool.on('acquire', (client) => {
    if (known.has(client)) return
    known.add(client)
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    client.query = ((...args: unknown[]) => {
      const [statement] = args
      texts.add(typeof statement === 'string' ? statement : (statement as { text: string }).text)
      return query(...args)
    }) as typeof client.query
  })
  return texts
}

/** Names of the tables that a statement reads or writes, one for each place; its own `with` names among them. */
export function tablesOf(statement: string): string[] {
  return [
    ...statement.matchAll(/\b(?:from|join|update|into|using)\s+(?:only\s+)?"?([a-z_][a-z_0-9]*)"?/gi),
  ].map(([, table = '']) => table.toLowerCase())
}
