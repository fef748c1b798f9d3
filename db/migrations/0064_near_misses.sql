-- additive
-- What a wait looks for, spelled alike: the same hash of its values without case, white space around and zeros that a number
-- does not need. Null: those values are spelled so already, or an older version has stored the wait. An event that meets it and
-- not `match_hash` misses the wait by its spelling alone, which the wait says (`passed_over`). Most ids are spelled so: the index
-- is small.

alter table automation_waits add column near_hash bytea;

create index automation_waits_near_idx on automation_waits (tenant_id, event, near_hash, execution_id)
  where near_hash is not null and received_event_id is null;
