-- additive
-- Apart from the columns that they are of: while an index is built only writes wait. Both hold waiting deliveries of plugins
-- that coalesce, and nothing else.
create index deliveries_coalesce_idx on deliveries (plugin_id, coalesce_key, ordering_place, event_id)
  where coalesce_key is not null and status in ('pending', 'retry');
create index deliveries_coalescing_idx on deliveries (tenant_id, id)
  where coalesce_key is not null and status in ('pending', 'retry');
