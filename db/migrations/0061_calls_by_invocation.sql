-- additive
-- A call is looked for by the id of its invocation, which is nowhere else once a flow's was answered at once.
create index automation_event_log_invocation_id_idx on automation_event_log (tenant_id, invocation_id)
  where invocation_id is not null;
