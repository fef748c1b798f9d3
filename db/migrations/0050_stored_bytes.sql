-- additive
-- What tenants store, as it was last measured (src/modules/tenant/storage.ts). A tenant that stores nothing has no row.
create table tenant_storage (
  tenant_id uuid not null,
  stored_bytes bigint not null,
  -- What the sample bears out, whatever it happened to meet: no more than stored_bytes.
  least_bytes bigint not null,
  measured_at timestamptz not null,
  constraint tenant_storage_pkey primary key (tenant_id)
);
