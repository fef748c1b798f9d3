-- Tenants, keys, plugins, events, deliveries.
--
-- The hot tables (events, deliveries, delivery_attempts) carry no foreign keys: each would lock the
-- parent's row on every insert, and all intake of one tenant would meet on one tenants row. Their
-- integrity is kept by the one statement that writes them (event and deliveries together) and by
-- retention, which removes children first.

create table tenants (
  id uuid constraint tenants_pkey primary key,
  -- Refuse events that do not match their type's schema, instead of storing and marking them.
  strict_events boolean not null default false,
  -- Raised by every change to a plugin's subscriptions. Intake matches subscriptions in memory and
  -- names the version it used; the insert does nothing when it is no longer the current one.
  subscriptions_version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table plugins (
  id uuid constraint plugins_pkey primary key,
  tenant_id uuid not null constraint plugins_tenant_id_fkey references tenants (id),
  slug text not null constraint plugins_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text not null,
  description text,
  webhook_url text not null,
  base_url text not null,
  -- [{ "event": "product.*", "filter": null | condition }]
  subscriptions jsonb not null default '[]',
  status text not null default 'active' constraint plugins_status_check check (status in ('active', 'paused', 'disabled')),
  status_reason text,
  status_changed_at timestamptz not null default now(),
  -- JSON objects sealed with AES-256-GCM: their values are secrets.
  config_sealed bytea,
  headers_sealed bytea,
  metadata jsonb not null default '{}',
  -- Null: the service's default.
  retry_schedule integer[],
  timeout_ms integer constraint plugins_timeout_ms_check check (timeout_ms between 1000 and 30000),
  rate_limit_per_second integer constraint plugins_rate_limit_per_second_check check (rate_limit_per_second between 1 and 10000),
  max_in_flight integer constraint plugins_max_in_flight_check check (max_in_flight between 1 and 1000),
  -- Raised by every change that a worker must notice.
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz
);

create unique index plugins_tenant_id_slug_key on plugins (tenant_id, slug) where deleted_at is null;
create index plugins_tenant_id_id_idx on plugins (tenant_id, id);

create table plugin_secrets (
  id uuid constraint plugin_secrets_pkey primary key,
  tenant_id uuid not null,
  plugin_id uuid not null constraint plugin_secrets_plugin_id_fkey references plugins (id) on delete cascade,
  sealed bytea not null,
  created_at timestamptz not null default now(),
  -- Null: the current secret. Else the older one keeps signing until then.
  expires_at timestamptz
);

create index plugin_secrets_plugin_id_idx on plugin_secrets (plugin_id);

create table api_keys (
  id uuid constraint api_keys_pkey primary key,
  -- Null for a platform key, which acts for any tenant.
  tenant_id uuid constraint api_keys_tenant_id_fkey references tenants (id),
  kind text not null constraint api_keys_kind_check check (kind in ('platform', 'tenant', 'plugin')),
  role text constraint api_keys_role_check check (role in ('admin', 'editor', 'viewer')),
  plugin_id uuid constraint api_keys_plugin_id_fkey references plugins (id) on delete cascade,
  name text not null,
  -- The key's first characters, to recognise it by.
  prefix text not null,
  hash bytea not null constraint api_keys_hash_key unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_kind_check1 check (
    (kind = 'platform') = (tenant_id is null)
    and (kind = 'tenant') = (role is not null)
    and (kind = 'plugin') = (plugin_id is not null)
  )
);

create index api_keys_tenant_id_id_idx on api_keys (tenant_id, id);

create table audit_log (
  id uuid constraint audit_log_pkey primary key,
  tenant_id uuid,
  actor_kind text not null constraint audit_log_actor_kind_check check (actor_kind in ('open', 'platform', 'tenant', 'plugin', 'operator', 'system')),
  actor_id text,
  action text not null,
  target_kind text not null,
  target_id text not null,
  detail jsonb not null default '{}',
  request_id text,
  created_at timestamptz not null default now()
);

create index audit_log_tenant_id_id_idx on audit_log (tenant_id, id);

-- The feed's order must survive a dump that is restored into another cluster, where transaction ids
-- start again from the bottom. Each cluster that the service meets gets the next epoch.
create table feed_epochs (
  epoch smallint constraint feed_epochs_pkey primary key,
  system_identifier text not null,
  started_at timestamptz not null default now()
);

-- Where this transaction's events stand in the feed: the epoch above the transaction id.
create function feed_position() returns bigint language sql stable as $$
  select (coalesce(max(epoch), 0)::bigint << 48) | (pg_current_xact_id()::text)::bigint from feed_epochs
$$;

-- Below this position every transaction has ended: what is not visible there will never be.
create function feed_horizon() returns bigint language sql stable as $$
  select (coalesce(max(epoch), 0)::bigint << 48) | (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
  from feed_epochs
$$;

create table events (
  tenant_id uuid not null,
  id uuid not null,
  -- The caller's own id or Idempotency-Key: unique within the tenant.
  source_id text,
  -- SHA-256 of what the caller sent: the same source_id with another fingerprint is a conflict.
  fingerprint bytea not null,
  event text not null,
  source text not null constraint events_source_check check (source in ('api', 'platform', 'cloudevents', 'plugin', 'system')),
  publisher_plugin_id uuid,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  position bigint not null default feed_position(),
  -- The exact text that every attempt sends and signs. Null once it was aged out or erased.
  body text,
  body_gone text constraint events_body_gone_check check (body_gone in ('expired', 'erased')),
  -- Violations of the type's schema, for tenants that are not strict.
  schema_problems jsonb,
  -- How many automations stand between this event and what a person or system did first.
  causation_depth smallint not null default 0,
  causation_id uuid,
  constraint events_pkey primary key (tenant_id, id)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);

-- Stored out of line as they are: pglz would cost more than the write itself.
alter table events alter column body set storage external;

create unique index events_tenant_id_source_id_key on events (tenant_id, source_id) where source_id is not null;
create index events_tenant_id_position_id_idx on events (tenant_id, position, id);
-- The bodies that there still are, by tenant and age: what is to be aged out next is found without reading
-- the events whose bodies are gone already. Retention of whole events walks the primary key, whose ids are in
-- time order. Block ranges would be of no use to it: space that was freed is used again, so that before long
-- every range of blocks has both old and new rows.
create index events_body_idx on events (tenant_id, id) where body is not null;

create table deliveries (
  tenant_id uuid not null,
  id uuid not null,
  plugin_id uuid not null,
  event_id uuid not null,
  event text not null,
  status text not null default 'pending' constraint deliveries_status_check check (status in ('pending', 'sent', 'retry', 'failed')),
  reason text,
  -- All attempts ever made, and the failed ones since the delivery was last queued: the second is
  -- the position in the retry schedule.
  attempt_count integer not null default 0,
  round_failures integer not null default 0,
  -- When the next attempt is due. Null once the delivery is sent or failed.
  due_at timestamptz default now(),
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  last_response_status smallint,
  last_error_class text,
  constraint deliveries_pkey primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create unique index deliveries_event_id_plugin_id_key on deliveries (event_id, plugin_id);
create index deliveries_plugin_id_id_idx on deliveries (plugin_id, id);
-- The queue. Ordered by plugin first, so that one plugin's backlog is never in another's way.
create index deliveries_due_idx on deliveries (plugin_id, due_at, id) where status in ('pending', 'retry');
-- Only unhealthy rows stand in it: a healthy delivery never pays for it.
create index deliveries_unhealthy_idx on deliveries (tenant_id, status, id) where status in ('retry', 'failed');

create table delivery_attempts (
  tenant_id uuid not null,
  delivery_id uuid not null,
  number integer not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  response_status smallint,
  error_class text,
  error_detail text,
  -- Only ever read as a whole: json is kept as it comes.
  response_headers json,
  response_body text,
  response_truncated boolean not null default false,
  constraint delivery_attempts_pkey primary key (delivery_id, number)
) with (autovacuum_vacuum_insert_scale_factor = 0.2);

-- One lane a plugin: the right to deliver to it. A worker leases the lane, not the single delivery,
-- so that sending one costs one write (its outcome) and the plugin's limits (in flight, rate, breaker)
-- are exact however many workers run. lease_token is the fencing token: it grows with every new holder,
-- and every outcome names it.
create table delivery_lanes (
  plugin_id uuid constraint delivery_lanes_pkey primary key constraint delivery_lanes_plugin_id_fkey references plugins (id) on delete cascade,
  tenant_id uuid not null,
  lease_token bigint not null default 0,
  lease_owner text,
  lease_until timestamptz,
  -- When the lane was last taken: the longest waiting is taken first.
  served_at timestamptz not null default '-infinity',
  -- Raised when health is reset from outside (resume), so that a holder's older picture is not written back.
  health_version integer not null default 0,
  breaker_state text not null default 'closed' constraint delivery_lanes_breaker_state_check check (breaker_state in ('closed', 'open', 'half_open')),
  breaker_opens integer not null default 0,
  -- Nothing is sent before then: the breaker is open or the receiver asked for patience.
  hold_until timestamptz,
  hold_reason text constraint delivery_lanes_hold_reason_check check (hold_reason in ('breaker_open', 'retry_after')),
  consecutive_failures integer not null default 0,
  failing_since timestamptz,
  failing_attempts integer not null default 0,
  failing_announced boolean not null default false,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_error_class text,
  -- Token bucket of the plugin's rate limit, as it stood at rate_at.
  rate_tokens real,
  rate_at timestamptz,
  -- Waiting deliveries created before this are given up with skip_reason instead of sent.
  skip_before timestamptz,
  skip_reason text constraint delivery_lanes_skip_reason_check check (skip_reason in ('skipped', 'plugin_deleted'))
) with (fillfactor = 50);

-- Who is there to share the lanes with.
create table delivery_workers (
  owner text constraint delivery_workers_pkey primary key,
  seen_at timestamptz not null default now()
) with (fillfactor = 50);

-- A mark stands here only until a worker has seen to it.
create index delivery_lanes_skip_before_idx on delivery_lanes (plugin_id) where skip_before is not null;

create table event_types (
  tenant_id uuid not null constraint event_types_tenant_id_fkey references tenants (id),
  name text not null,
  description text,
  sample jsonb,
  schema jsonb,
  -- Set when a plugin's manifest declared the type.
  plugin_id uuid constraint event_types_plugin_id_fkey references plugins (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint event_types_pkey primary key (tenant_id, name)
);

create table replays (
  id uuid constraint replays_pkey primary key,
  tenant_id uuid not null,
  plugin_id uuid not null constraint replays_plugin_id_fkey references plugins (id) on delete cascade,
  since timestamptz,
  until timestamptz not null,
  event text,
  delivery_status text constraint replays_delivery_status_check check (delivery_status in ('pending', 'sent', 'retry', 'failed')),
  status text not null default 'queued' constraint replays_status_check check (status in ('queued', 'running', 'completed', 'cancelled', 'failed')),
  -- The last event that was looked at: the job goes on after it.
  cursor_event_id uuid,
  scanned bigint not null default 0,
  queued bigint not null default 0,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  -- Events that matched but whose body is gone: they cannot be delivered again.
  skipped bigint not null default 0
);

create index replays_tenant_id_id_idx on replays (tenant_id, id);
create index replays_open_idx on replays (id) where status in ('queued', 'running');

create table erasures (
  id uuid constraint erasures_pkey primary key,
  tenant_id uuid not null,
  path text not null,
  -- SHA-256 of the value looked for: the value itself is what is to be forgotten.
  value_hash bytea not null,
  value_sealed bytea,
  status text not null default 'queued' constraint erasures_status_check check (status in ('queued', 'running', 'completed', 'failed')),
  -- What is being walked, and since when: each kind of record after all events, which others are made of.
  phase text not null default 'events' constraint erasures_phase_check check (phase in ('events', 'executions', 'log', 'invocations', 'messages')),
  phase_started_at timestamptz not null default now(),
  -- The last record that was looked at.
  cursor_id uuid,
  scanned bigint not null default 0,
  erased bigint not null default 0,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  -- Everything that was acknowledged before the request stands below this position in the feed. The scan begins
  -- once the transactions below it have ended, so that it sees all of them.
  position bigint not null default feed_position()
);

create index erasures_tenant_id_id_idx on erasures (tenant_id, id);
create index erasures_open_idx on erasures (id) where status in ('queued', 'running');
