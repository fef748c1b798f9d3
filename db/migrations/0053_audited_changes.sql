-- additive
-- A tenant's last change: the overview is read anew after one. Entries of what was merely done come by the thousand, and
-- stand between.
create index audit_log_changes_idx on audit_log (tenant_id, id)
  where action not in ('actions.dispatched', 'automations.run_due', 'deliveries.processed', 'flow.exported', 'flow.run',
    'flow.tested', 'plugin.tested', 'session.started', 'session.ended');
