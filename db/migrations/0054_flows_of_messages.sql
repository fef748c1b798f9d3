-- additive
-- The flow of a message's execution, so that a flow's messages are found without going through its executions. Null: from
-- before this column, or written by a release before it; the worker's retention fills these in, in batches.
alter table automation_messages add column flow_id uuid;
