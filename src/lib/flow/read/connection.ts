import type { CatalogueConnection } from '../catalogue.ts'
import { at, type Reader, report, take } from './reader.ts'

/** The kind of connection that is never sent: what comes is verified by it. */
export const WEBHOOK_SECRET = 'webhook_secret'

/** Reads `connection`; that the shop has none of the name is reported. */
export function readConnectionName(
  reader: Reader,
): { name: null; known: undefined } | { name: string; known: CatalogueConnection | undefined } {
  const name = take(reader, 'connection')
  const path = at(reader, 'connection')
  if (name === undefined) return { name: null, known: undefined }
  if (typeof name !== 'string') {
    report(reader, 'invalid_value', path, 'Give "connection" the name of one of the shop\'s connections.')
    return { name: null, known: undefined }
  }
  const { catalogue, problems } = reader.compilation
  const known = catalogue.connections?.get(name)
  if (known === undefined) {
    const near = problems.near(name, catalogue.connections?.keys() ?? [])
    const advice = near === null ? 'make it by POST /api/connections' : `did you mean "${near}"?`
    report(reader, 'unknown_connection', path, `The shop has no connection "${name.slice(0, 64)}": ${advice}`)
  }
  return { name, known }
}
