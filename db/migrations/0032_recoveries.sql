-- additive
-- Delivering again to all plugins of a tenant, or of all tenants: a job that gives each plugin a replay of its own.
create table recoveries (
  id uuid constraint recoveries_pkey primary key,
  -- Null: all tenants.
  tenant_id uuid,
  since timestamptz not null,
  until timestamptz not null,
  event text,
  delivery_status text constraint recoveries_delivery_status_check
    check (delivery_status in ('pending', 'sent', 'retry', 'failed', 'undelivered')),
  -- Its replays count and queue nothing.
  dry_run boolean not null,
  status text not null default 'queued' constraint recoveries_status_check
    check (status in ('queued', 'running', 'completed', 'cancelled', 'failed')),
  -- The last plugin that has a replay by it, in the order of ids; and whether no plugin is left.
  cursor_plugin_id uuid,
  spread boolean not null default false,
  -- What its replays came to, as of its last turn.
  plugins integer not null default 0,
  plugins_open integer not null default 0,
  scanned bigint not null default 0,
  queued bigint not null default 0,
  skipped bigint not null default 0,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);

create index recoveries_tenant_id_id_idx on recoveries (tenant_id, id);
create index recoveries_open_idx on recoveries (id) where status in ('queued', 'running');

alter table replays add column recovery_id uuid
  constraint replays_recovery_id_fkey references recoveries (id) on delete cascade;
alter table replays add column dry_run boolean not null default false;
alter table replays drop constraint replays_delivery_status_check;
alter table replays add constraint replays_delivery_status_check
  check (delivery_status in ('pending', 'sent', 'retry', 'failed', 'undelivered'));

create unique index replays_recovery_id_plugin_id_key on replays (recovery_id, plugin_id) where recovery_id is not null;
create index replays_recovery_open_idx on replays (recovery_id)
  where recovery_id is not null and status in ('queued', 'running');
