/**
 * Makes the next fencing token of a row: the database's clock in microseconds, and more than the last one whatever the
 * clock says. A count alone would come to the same number twice, if a crash of the server forgets the first claim.
 *
 * @param last SQL for the token so far
 */
export function nextToken(last: string): string {
  return `greatest(${last} + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)`
}

/**
 * A column for what a statement returns: with a row in its answer the statement is on the disk before it is answered,
 * and so is all that was committed before it, whatever the pool's default is.
 */
export const FLUSHED = `set_config('synchronous_commit', 'on', true) is null as flushed`
