-- Event types that came without anybody having declared them.

create table seen_event_types (
  tenant_id uuid not null constraint seen_event_types_tenant_id_fkey references tenants (id),
  name text not null,
  -- The shape of the first event's data: member names with a placeholder for every value.
  sample jsonb not null,
  -- The plugin that sent the first event; null: the platform or the shop.
  plugin_id uuid constraint seen_event_types_plugin_id_fkey references plugins (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint seen_event_types_pkey primary key (tenant_id, name)
);

-- A plugin's deletion looks for its rows.
create index seen_event_types_plugin_id_idx on seen_event_types (plugin_id) where plugin_id is not null;
