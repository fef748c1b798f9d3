-- Executions that wait because the other side of their call is away, and starts that were missed.

-- Which call's other side an execution waits for; null: it waits for something else, or does not wait.
alter table automation_executions add column held_by text;

-- Who is first: the one whose event came first tries, and all others go on after it in that order.
create index automation_executions_held_idx
  on automation_executions (tenant_id, held_by, (coalesce(event_id, id))) where held_by is not null;

-- What met a flow that was paused or switched off, or a shop that was halted: taken up again when asked for.
create index automation_executions_missed_idx
  on automation_executions (tenant_id, flow_id, (coalesce(event_id, id)))
  where (status = 'skipped' and reason in ('paused', 'not_active', 'halted'))
    or (status = 'cancelled' and reason = 'halted');
create index automation_executions_catch_up_idx
  on automation_executions (tenant_id, (coalesce(event_id, id))) where status = 'skipped' and reason = 'catch_up';

-- There are missed starts to take up, before anything newer starts.
alter table flow_cursors add column catch_up boolean not null default false;

-- Since when the flow is paused or switched off; null: it is active, or never was.
alter table automation_flows add column off_since timestamptz;
