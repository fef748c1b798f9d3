-- additive
-- Apart from the columns that they are of: while an index is built only writes wait.
create index deliveries_ordering_idx on deliveries (plugin_id, ordering_key, ordering_place, event_id)
  where ordering_key is not null and status in ('pending', 'retry');
create index deliveries_behind_since_idx on deliveries (plugin_id, behind_since)
  where behind_since is not null and status in ('pending', 'retry');
create index deliveries_behind_idx on deliveries (tenant_id, id)
  where behind_since is not null and status in ('pending', 'retry');

-- A flow's last executions in the order in which they ended. They enter it once, at their end.
create index automation_executions_ended_idx on automation_executions (flow_id, finished_at, id)
  where status in ('completed', 'failed');
