-- additive
-- What is due, whoever's it is: found without going from tenant to tenant.
create index automation_executions_due_at_idx on automation_executions (due_at, tenant_id) where due_at is not null;

-- Events by which matching failed again and again: no flow has seen them, and the tenant's others went on.
create table set_aside_events (
  tenant_id uuid not null,
  event_id uuid not null,
  reason text not null,
  -- How often it was set aside.
  times integer not null default 1,
  set_aside_at timestamptz not null default now(),
  -- Somebody wants it matched again.
  wanted_at timestamptz,
  -- The execution up to which its waits have been gone through since.
  waits_after uuid,
  constraint set_aside_events_pkey primary key (tenant_id, event_id)
);

create index set_aside_events_wanted_at_idx on set_aside_events (tenant_id, wanted_at) where wanted_at is not null;

-- What a bulk cancel or retry did not get done while somebody waited for the answer: a durable job.
create table bulk_changes (
  id uuid constraint bulk_changes_pkey primary key,
  tenant_id uuid not null,
  kind text not null constraint bulk_changes_kind_check check (kind in ('cancel', 'retry')),
  -- Which executions, and how they are retried.
  request json not null,
  -- Who asked for it, as the audit log has it.
  actor json not null,
  status text not null default 'queued' constraint bulk_changes_status_check
    check (status in ('queued', 'running', 'completed', 'cancelled', 'failed')),
  -- The last execution that was gone through, of a retry.
  cursor_id uuid,
  done bigint not null default 0,
  -- What could not be retried, by why.
  refused json not null default '{}',
  lease_token bigint not null default 0,
  lease_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);

create index bulk_changes_tenant_id_id_idx on bulk_changes (tenant_id, id);
create index bulk_changes_open_idx on bulk_changes (id) where status in ('queued', 'running');
