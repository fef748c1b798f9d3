-- Automation flows: definitions, versions, executions, steps, waits.

create table automation_flows (
  tenant_id uuid not null constraint automation_flows_tenant_id_fkey references tenants (id),
  id uuid not null,
  name text not null,
  description text,
  status text not null default 'draft' constraint automation_flows_status_check check (status in ('draft', 'active', 'inactive', 'paused')),
  -- Why the service itself paused it: failing, self_triggering …
  status_reason text,
  -- The draft, exactly as it was sent.
  definition text not null,
  -- What the draft says of how it starts, to list flows by: [{ type, event_types? }].
  triggers jsonb not null default '[]',
  -- What is running; null until the first publication.
  published_version integer,
  revision bigint not null default 1,
  consecutive_failures integer not null default 0,
  times_triggered bigint not null default 0,
  last_triggered_at timestamptz,
  -- Set when it came from a ready-made template, or from the CRM's automations.
  template_id text,
  automation jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  constraint automation_flows_pkey primary key (tenant_id, id)
);

-- The CRM's automations that the service ships are installed once, whoever asks at the same time.
create unique index automation_flows_tenant_id_preset_key on automation_flows (tenant_id, (automation->>'preset'))
  where deleted_at is null and automation->>'preset' is not null;

create table automation_flow_versions (
  tenant_id uuid not null,
  flow_id uuid not null,
  version integer not null,
  definition text not null,
  -- The canonical form that the compiler made of it. Json keeps the order in which inputs were written.
  flow json not null,
  created_at timestamptz not null default now(),
  constraint automation_flow_versions_pkey primary key (tenant_id, flow_id, version)
);

-- Tenants with flows, and how far their events have been matched. The matcher reads the gap-free feed from here:
-- executions and received waits are written in the transaction that moves the cursor on. A cursor always stands below
-- the feed's horizon: what lies before it is in sight of whoever registers a wait.
create table flow_cursors (
  tenant_id uuid constraint flow_cursors_pkey primary key constraint flow_cursors_tenant_id_fkey references tenants (id),
  position bigint not null,
  event_id uuid not null,
  -- Raised by every change to what is active: matchers hold the triggers in memory.
  flows_version bigint not null default 1,
  -- Set: nothing starts or goes on for this tenant. What waits still receives its events.
  halted_at timestamptz
);

-- One row for each schedule of an active flow; what is switched off has none.
create table automation_schedules (
  tenant_id uuid not null,
  flow_id uuid not null,
  trigger_id text not null,
  cron text not null,
  time_zone text not null,
  catch_up text not null constraint automation_schedules_catch_up_check check (catch_up in ('skip', 'once')),
  -- The first firing that has not been dealt with.
  next_fire_at timestamptz not null,
  -- When a worker looks at it: then, or later after a firing that failed.
  due_at timestamptz not null,
  last_fired_at timestamptz,
  constraint automation_schedules_pkey primary key (tenant_id, flow_id, trigger_id)
);

create index automation_schedules_due_at_idx on automation_schedules (due_at);

-- The addresses of webhook triggers. A row says nothing of whether requests start something: that is so while the flow
-- is active and its published version has the trigger. A flow that is switched off and on again keeps its addresses.
create table automation_inlets (
  tenant_id uuid not null,
  flow_id uuid not null,
  trigger_id text not null,
  -- SHA-256 of the token in the inlet's URL, by which it is found.
  token_hash bytea not null,
  -- The token itself, so that editors can see the URL again.
  token_sealed bytea not null,
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  constraint automation_inlets_pkey primary key (tenant_id, flow_id, trigger_id),
  constraint automation_inlets_token_hash_key unique (token_hash)
);

create table automation_executions (
  tenant_id uuid not null,
  id uuid not null,
  flow_id uuid not null,
  version integer not null,
  status text not null constraint automation_executions_status_check check (status in
    ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'timed_out', 'skipped')),
  -- Waiting: delay, event, retry, completion. Ended: done, filtered, stopped, causation_depth, cap …
  reason text,
  -- Of a failed one: an error handler has dealt with it.
  handled boolean not null default false,
  -- What started it: the event, or null for manual, schedule and webhook starts.
  event_id uuid,
  trigger_kind text not null constraint automation_executions_trigger_kind_check check (trigger_kind in ('event', 'schedule', 'manual', 'webhook')),
  -- Here and below json, not jsonb: what is read back has its members in the order in which it was written, so that
  -- a step that is repeated sends the very same text.
  trigger json not null,
  -- Enrolment key; null: none.
  key text,
  -- What makes a start that no event makes happen once: a schedule's firing, a webhook's Idempotency-Key.
  start_key text,
  -- Where it stands: current steps, loop and handler stack, variables. What steps gave stands in automation_steps.
  state json not null,
  -- When it goes on. Null: it has ended, or waits for something else than time.
  due_at timestamptz,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  -- Of the event that started it; what the execution causes has one more.
  causation_depth smallint not null default 0,
  expires_at timestamptz not null,
  error jsonb,
  -- Set: the trigger, the state and what its steps took and gave are empty.
  body_gone text constraint automation_executions_body_gone_check check (body_gone in ('expired', 'erased')),
  -- Steps written so far; the next one's number.
  step_count integer not null default 0,
  -- Raised by every event that a wait of it receives. A worker that read an older count must look again.
  received integer not null default 0,
  -- Asked for while a worker has it: it ends at the next step boundary, with this reason.
  cancel_reason text,
  -- Retried from which execution, and how many of its steps are copies of that one's: they ran there.
  retry_of uuid,
  carried_steps integer not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  constraint automation_executions_pkey primary key (tenant_id, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- One execution for each flow and event, whatever is repeated.
create unique index automation_executions_flow_id_event_id_key
  on automation_executions (flow_id, event_id) where event_id is not null and retry_of is null;
create unique index automation_executions_flow_id_start_key_key
  on automation_executions (flow_id, start_key) where start_key is not null;
-- The queue, by tenant first: one tenant's backlog is never in another's way. What waits for something else than
-- time is not in it; what is being run stands at the end of its lease.
create index automation_executions_tenant_id_due_at_idx
  on automation_executions (tenant_id, due_at) where due_at is not null;
create index automation_executions_flow_id_id_idx on automation_executions (flow_id, id);
-- Enrolment: who is active under a key; and all that a shop's automations did for one customer or order.
create index automation_executions_key_idx on automation_executions (tenant_id, key, flow_id, id) where key is not null;
-- Lists and bulk changes by status. Without the two that every execution goes through: an entry for each boundary
-- would cost all of them, and what runs is found by due_at.
create index automation_executions_status_idx
  on automation_executions (tenant_id, status, id) where status not in ('running', 'completed');
-- Whether it was retried already.
create index automation_executions_retry_of_idx
  on automation_executions (tenant_id, retry_of) where retry_of is not null;

create table automation_steps (
  tenant_id uuid not null,
  execution_id uuid not null,
  number integer not null,
  step_id text not null,
  iteration text not null default '',
  type text not null,
  status text not null constraint automation_steps_status_check check (status in ('succeeded', 'failed', 'skipped', 'simulated')),
  -- The port that was taken.
  port text,
  input json,
  output json,
  error jsonb,
  attempts integer not null default 1,
  note text,
  started_at timestamptz not null,
  -- Waits included: an integer would end after 24 days.
  duration_ms bigint not null,
  constraint automation_steps_pkey primary key (execution_id, number)
);

-- What waits for an event. `match_hash` is of (event type, paths, values): an arriving event looks itself up.
create table automation_waits (
  tenant_id uuid not null,
  execution_id uuid not null,
  -- Which of the step's alternatives.
  alternative integer not null,
  step_id text not null,
  -- The loop item that waits; empty outside of loops.
  iteration text not null default '',
  event text not null,
  -- Paths in the event's data, sorted and joined: matchers hash an event once for each distinct list.
  paths text not null,
  match_hash bytea not null,
  -- { condition, scope }: what is tested beside the hash, and what its paths start from.
  filter jsonb,
  -- resume: the step's wait; cancel: the flow's cancel_on.
  purpose text not null constraint automation_waits_purpose_check check (purpose in ('resume', 'cancel')),
  -- The event that came. The row stays until the execution has taken it up.
  received_event_id uuid,
  created_at timestamptz not null default now(),
  constraint automation_waits_pkey primary key (execution_id, purpose, iteration, alternative)
);

create index automation_waits_match_idx on automation_waits (tenant_id, event, match_hash) where received_event_id is null;

-- The path lists that a tenant's waits have for a type: how a matcher hashes an arriving event. A handful for each
-- flow, however many wait; never removed, as a list that nobody waits by costs one hash.
create table automation_wait_shapes (
  tenant_id uuid not null,
  event text not null,
  paths text not null,
  constraint automation_wait_shapes_pkey primary key (tenant_id, event, paths)
);

-- What flows said to somebody. A row is there before its message is sent, and sending again sends what it holds: an
-- AI that was asked twice would have written something else. Whether it was sent stands in automation_steps.
create table automation_messages (
  tenant_id uuid not null,
  id uuid not null,
  execution_id uuid not null,
  step_id text not null,
  iteration text not null default '',
  channel text not null constraint automation_messages_channel_check check (channel in ('email', 'sms', 'notification')),
  recipient text,
  subject text,
  body text not null,
  -- template, or ai with the model's name; and why the template was used instead.
  source text not null constraint automation_messages_source_check check (source in ('template', 'ai')),
  model text,
  fallback_reason text,
  created_at timestamptz not null default now(),
  constraint automation_messages_pkey primary key (tenant_id, id),
  constraint automation_messages_execution_id_step_id_iteration_key unique (tenant_id, execution_id, step_id, iteration)
);
