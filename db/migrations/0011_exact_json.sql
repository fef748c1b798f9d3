-- Callers' data keeps its text: order of members, and numbers as they were spelled. `jsonb` turns -0 into 0, 1E2 into 100
-- and 1e400 into 401 digits. Nothing is looked for inside these columns but by erasures, which cast them to json anyway.
--
-- What stays jsonb: the service's own documents, which are searched inside Postgres (subscriptions, registered_actions,
-- triggers, automation), and those whose numbers count by value alone (manifest, metadata, schema, the shape in
-- seen_event_types.sample, schema_problems, detail, error).

alter table action_invocations alter column data type json;
alter table automation_event_log alter column payload type json, alter column result type json;
alter table automation_waits alter column filter type json;
alter table event_types alter column sample type json;
