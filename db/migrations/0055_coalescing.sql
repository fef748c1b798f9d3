-- additive
-- Of what waits of one key only the newest is sent (src/modules/webhook-delivery/due/coalesced-repository.ts).
-- A hash of the plugin, its subscription's pattern and the key. Null: the delivery is sent whatever comes after it.
-- Its place among those of its key is `ordering_place`: a delivery has one of the two keys at most.
alter table deliveries add column coalesce_key uuid;
-- The newer one that took its place, of one that ended as `superseded`.
alter table deliveries add column superseded_by uuid;

-- Deliveries that ended as such.
alter table delivery_stats add column superseded integer not null default 0;
