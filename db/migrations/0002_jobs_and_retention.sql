-- What background jobs and retention need.

-- Events that matched but whose body is gone: they cannot be delivered again.
alter table replays add column skipped bigint not null default 0;

-- Everything that was acknowledged before the request stands below this position in the feed. The scan begins
-- once the transactions below it have ended, so that it sees all of them.
alter table erasures add column position bigint not null default feed_position();

-- The bodies that there still are, by tenant and age: what is to be aged out next is found without reading
-- the events whose bodies are gone already.
create index events_body_idx on events (tenant_id, id) where body is not null;

-- Retention walks the primary key, whose ids are in time order. Block ranges are of no use to it: space
-- that was freed is used again, so that before long every range of blocks has both old and new rows.
drop index events_received_at_idx;
drop index deliveries_created_at_idx;
