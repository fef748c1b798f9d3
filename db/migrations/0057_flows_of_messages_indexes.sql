-- additive
-- Apart from the column that they are of: while an index is built only writes wait.
create index automation_messages_flow_id_idx on automation_messages (tenant_id, flow_id, id) where flow_id is not null;
-- Those that are still to be filled in: none, once they are.
create index automation_messages_without_flow_idx on automation_messages (tenant_id, id) where flow_id is null;
