-- additive
-- One index is the queue: by plugin, then what happens now, then what replays ask for. Three were written at each intake and
-- each outcome. Processes of the release before find work by it too, and look at all that waits for it.
create index deliveries_queue_idx on deliveries (plugin_id, bulk, due_at, id) where status in ('pending', 'retry');
drop index deliveries_due_idx;
drop index deliveries_live_due_idx;
drop index deliveries_bulk_due_idx;
