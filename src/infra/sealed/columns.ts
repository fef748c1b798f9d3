/**
 * Every column that holds what `secretBox` sealed. A test compares the list with the database's `sealed` columns: one that
 * is missing here would be lost with the master key that is retired.
 */
export interface SealedColumn {
  /** `table.column`, as operators are told. */
  readonly name: string
  readonly table: string
  readonly column: string
  /** The primary key, by which rows are gone through and written. */
  readonly key: readonly { readonly column: string; readonly type: 'uuid' | 'text' }[]
  /** SQL of the three parts of the value's `secretContext`. */
  readonly tenant: string
  readonly row: string
  readonly field: string
  /** SQL condition: the value is still of use to somebody. */
  readonly inUse: string
}

const UUID_KEY = [{ column: 'id', type: 'uuid' }] as const

export const SEALED_COLUMNS: readonly SealedColumn[] = [
  sealed('plugin_secrets', 'sealed', {
    field: `'secret'`,
    // The others sign beside a newer one until they end.
    inUse: 'expires_at is null',
  }),
  sealed('plugins', 'headers_sealed', { field: `'headers'` }),
  sealed('plugins', 'client_certificate_sealed', { field: `'client_certificate'` }),
  sealed('plugins', 'config_sealed', { field: `'config'` }),
  sealed('tenants', 'platform_token_sealed', { tenant: 'id', field: `'platform_token'` }),
  sealed('automation_inlets', 'token_sealed', {
    key: [
      { column: 'tenant_id', type: 'uuid' },
      { column: 'flow_id', type: 'uuid' },
      { column: 'trigger_id', type: 'text' },
    ],
    row: 'flow_id',
    field: `'inlet.' || trigger_id`,
  }),
  sealed('connections', 'values_sealed', { field: `'values'` }),
  sealed('erasures', 'value_sealed', { field: `'value'` }),
]

function sealed(
  table: string,
  column: string,
  rest: Pick<SealedColumn, 'field'> & Partial<SealedColumn>,
): SealedColumn {
  return {
    name: `${table}.${column}`,
    table,
    column,
    key: UUID_KEY,
    tenant: 'tenant_id',
    row: 'id',
    inUse: 'true',
    ...rest,
  }
}
