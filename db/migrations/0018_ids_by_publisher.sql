-- An id that a publisher gives its event is its own: a plugin that takes the id of the platform's next event must not
-- have the real one refused.
drop index events_tenant_id_source_id_key;
create unique index events_source_id_key on events (tenant_id, source_id, publisher_plugin_id) nulls not distinct
  where source_id is not null;
