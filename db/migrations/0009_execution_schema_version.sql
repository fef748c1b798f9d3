-- The form of canonical flows and of states that whoever takes an execution up has to know: of the version that it
-- runs, or of the process that wrote its state last if that is a later one.
alter table automation_executions add column schema_version smallint not null default 1;
