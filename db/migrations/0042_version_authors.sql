-- additive
alter table automation_flow_versions
  add column created_by_kind text,
  -- The key's id, or the label of a portal link.
  add column created_by_id text,
  add column note text;
comment on column automation_flow_versions.created_by_kind is 'As in audit_log.actor_kind; null for versions older than this column';
