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
