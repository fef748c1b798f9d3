-- additive
-- What a plugin was asked to do, however rarely.
create index automation_event_log_plugin_idx on automation_event_log (tenant_id, plugin, id);
