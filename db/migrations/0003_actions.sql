-- The action registry, capability manifests and dispatches.

-- [{ action_type, title, …, origin: 'registered' | 'manifest' }]: what the plugin can do.
alter table plugins add column registered_actions jsonb not null default '[]';
-- Raised by every change to a tenant's actions: what a replica holds in memory is checked against it.
alter table tenants add column actions_version bigint not null default 1;
-- Where this tenant's platform API is, if not at PLATFORM_URL; the token is sealed.
alter table tenants add column platform_url text;
alter table tenants add column platform_token_sealed bytea;

create table plugin_capabilities (
  plugin_id uuid constraint plugin_capabilities_pkey primary key constraint plugin_capabilities_plugin_id_fkey references plugins (id) on delete cascade,
  tenant_id uuid not null,
  -- The normalised manifest; null until one was accepted.
  manifest jsonb,
  origin text not null constraint plugin_capabilities_origin_check check (origin in ('pushed', 'fetched')),
  version text,
  etag text,
  -- When the manifest last changed, and when the plugin was last asked for it.
  last_updated timestamptz,
  last_checked_at timestamptz,
  last_error text,
  consecutive_failures integer not null default 0,
  -- Null: pushed manifests are not fetched.
  next_check_at timestamptz
);

create index plugin_capabilities_tenant_id_idx on plugin_capabilities (tenant_id);
create index plugin_capabilities_next_check_at_idx on plugin_capabilities (next_check_at) where next_check_at is not null;

-- One row for each action of a dispatch. (flow_execution_id, event_key) is what makes a repeated dispatch safe.
create table action_invocations (
  tenant_id uuid not null,
  id uuid not null,
  flow_execution_id text not null,
  -- The caller's key, or the action's position as '#0'.
  event_key text not null,
  action_type text not null,
  plugin_id uuid,
  -- SHA-256 of action, plugin and payload: the same key with another request is a conflict.
  fingerprint bytea not null,
  status text not null constraint action_invocations_status_check check (status in ('running', 'accepted', 'succeeded', 'failed')),
  -- Grows with every taker; a result is written only under the token it was run with.
  lease_token bigint not null default 1,
  lease_until timestamptz,
  attempts integer not null default 0,
  response_status smallint,
  data jsonb,
  error_code text,
  error_message text,
  duration_ms integer,
  -- Until when a plugin may complete what it accepted with a 202.
  complete_until timestamptz,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint action_invocations_pkey primary key (tenant_id, id)
) with (fillfactor = 80);

create unique index action_invocations_flow_execution_id_event_key_key
  on action_invocations (tenant_id, flow_execution_id, event_key);
-- Accepted and never completed: swept when their time has passed. Not `where status = 'accepted'`: a column of the
-- predicate counts as indexed, and every result would have to be entered into all indexes anew.
create index action_invocations_complete_until_idx
  on action_invocations (complete_until) where complete_until is not null;

-- Every action that was asked for and what became of it, secrets redacted.
create table automation_event_log (
  tenant_id uuid not null,
  id uuid not null,
  invocation_id uuid,
  flow_execution_id text not null,
  event_key text not null,
  action_type text not null,
  plugin_id uuid,
  plugin text,
  -- Null, like the result, once it was aged out or erased.
  payload jsonb,
  result jsonb,
  success boolean not null,
  status text not null constraint automation_event_log_status_check check (status in ('succeeded', 'failed', 'accepted')),
  error_code text,
  response_status smallint,
  attempts integer not null,
  duration_ms integer not null,
  created_at timestamptz not null default now(),
  constraint automation_event_log_pkey primary key (tenant_id, id)
);

create index automation_event_log_flow_execution_id_idx on automation_event_log (tenant_id, flow_execution_id, id);
create index automation_event_log_action_type_idx on automation_event_log (tenant_id, action_type, id);
