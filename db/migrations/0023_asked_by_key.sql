-- additive
-- The key that it was asked for by. Null: none was needed, the environment's platform key, or the service itself.
alter table events add column key_id uuid;
alter table action_invocations add column key_id uuid;
alter table automation_event_log add column key_id uuid;

-- Entries of what was merely done, which come by the thousand and go with retention; changes are kept.
create index audit_log_done_idx on audit_log (id)
  where action in ('actions.dispatched', 'deliveries.processed', 'automations.run_due', 'plugin.tested', 'flow.tested', 'flow.run');
