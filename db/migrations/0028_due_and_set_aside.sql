-- additive
-- What is due, whoever's it is: found without going from tenant to tenant.
create index automation_executions_due_at_idx on automation_executions (due_at, tenant_id) where due_at is not null;
