-- Work on a tenant's events is shared out in turns, and a turn may end in the middle of an event for which many wait.

-- The event behind the cursor whose waits have been gone through up to an execution.
alter table flow_cursors
  add column waits_position bigint,
  add column waits_event_id uuid,
  add column waits_after uuid;

-- The last event that this wait did not take because its filter costs too much: { event_id, reason }.
alter table automation_waits add column passed_over json;

-- Those who wait for one value are gone through in the order of their executions, a page at a time.
drop index automation_waits_match_idx;
create index automation_waits_match_idx on automation_waits (tenant_id, event, match_hash, execution_id)
  where received_event_id is null;
