-- additive
-- A type's events in the order of the feed, and when the last one came.
create index events_event_idx on events (tenant_id, (event collate "C"), position, id);
-- What a plugin has published. Without what has no publisher, which is most of it.
create index events_publisher_plugin_id_idx on events (tenant_id, publisher_plugin_id, position, id)
  where publisher_plugin_id is not null;
-- What an event has caused.
create index events_causation_id_idx on events (tenant_id, causation_id, id) where causation_id is not null;

-- Deliveries that a filter chooses, to be sent again: a durable job.
create table delivery_retries (
  id uuid constraint delivery_retries_pkey primary key,
  tenant_id uuid not null,
  -- The plugin that it stays inside of; null: any.
  plugin_id uuid,
  -- Which deliveries.
  request json not null,
  status text not null default 'queued' constraint delivery_retries_status_check
    check (status in ('queued', 'running', 'completed', 'cancelled', 'failed')),
  -- The last delivery that was gone through.
  cursor_id uuid,
  queued bigint not null default 0,
  skipped bigint not null default 0,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);

create index delivery_retries_tenant_id_id_idx on delivery_retries (tenant_id, id);
create index delivery_retries_open_idx on delivery_retries (id) where status in ('queued', 'running');

-- Whoever something was said to.
create index automation_messages_recipient_idx on automation_messages (tenant_id, recipient, id) where recipient is not null;
