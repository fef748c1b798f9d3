-- additive
-- A delivery that a replay has made or has made due: what happens now goes before it.
alter table deliveries add column bulk boolean not null default false;

-- The queue by what goes first: a delivery stands in one of the two, and the second costs nothing while no replay runs.
create index deliveries_live_due_idx on deliveries (plugin_id, due_at, id)
  where status in ('pending', 'retry') and not bulk;
create index deliveries_bulk_due_idx on deliveries (plugin_id, due_at, id)
  where status in ('pending', 'retry') and bulk;
