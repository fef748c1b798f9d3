-- additive
-- Of steps that were tried more than once: each attempt, the latest ten. Most steps are tried once and have none.
alter table automation_steps add column attempt_log jsonb;
comment on column automation_steps.attempt_log is 'As flow-engine/run/attempts.ts has it; null: it was tried once, or before this column';
