-- additive
-- The flow of a message's execution, so that a flow's messages are found without going through its executions. Null: from
-- before this column, or written by a release before it; the worker's retention fills these in, in batches.
alter table automation_messages add column flow_id uuid;
create index automation_messages_flow_id_idx on automation_messages (tenant_id, flow_id, id) where flow_id is not null;
-- Those that are still to be filled in: none, once they are.
create index automation_messages_without_flow_idx on automation_messages (tenant_id, id) where flow_id is null;
