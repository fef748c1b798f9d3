-- What was sent stays so: sending it again is a delivery of its own, the first, second … resend of that event to that
-- plugin. 0: the delivery that intake or a replay of something missed made.
alter table deliveries add column resend integer not null default 0;
create unique index deliveries_event_id_plugin_id_resend_key on deliveries (event_id, plugin_id, resend);
drop index deliveries_event_id_plugin_id_key;

-- What of an attempt's request does not follow from its event and its number: { url, headers: names of the plugin's own }.
-- Only ever read as a whole: json is kept as it comes.
alter table delivery_attempts add column request json;
