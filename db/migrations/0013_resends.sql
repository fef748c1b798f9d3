-- What was sent stays so: sending it again is a delivery of its own, the first, second … resend of that event to that
-- plugin. 0: the delivery that intake or a replay of something missed made.
alter table deliveries add column resend integer not null default 0;
create unique index deliveries_event_id_plugin_id_resend_key on deliveries (event_id, plugin_id, resend);
drop index deliveries_event_id_plugin_id_key;
