-- What the logs are looked through by. Partial, so that a delivery that simply arrives is entered into none of them but
-- the first. C collation: a pattern such as order.* is a range of types.
create index deliveries_event_idx on deliveries (tenant_id, (event collate "C"), id);
create index deliveries_last_error_class_idx on deliveries (tenant_id, last_error_class, id)
  where last_error_class is not null;
create index deliveries_last_response_status_idx on deliveries (tenant_id, last_response_status, id)
  where last_response_status not in (200, 204);
create index deliveries_reason_idx on deliveries (tenant_id, reason, id) where reason is not null;
create index deliveries_attempt_count_idx on deliveries (tenant_id, id, attempt_count) where attempt_count > 1;

create index automation_event_log_failed_idx on automation_event_log (tenant_id, id) where not success;
create index automation_event_log_error_code_idx on automation_event_log (tenant_id, error_code, id)
  where error_code is not null;
create index automation_event_log_response_status_idx on automation_event_log (tenant_id, response_status, id)
  where response_status not in (200, 204);
create index automation_event_log_attempts_idx on automation_event_log (tenant_id, id, attempts) where attempts > 1;

create index automation_executions_error_code_idx on automation_executions (tenant_id, (error->>'code'), id)
  where error is not null;
-- What waits is found by its status, and nearly all of the rest is done.
create index automation_executions_reason_idx on automation_executions (tenant_id, reason, id)
  where reason not in ('done', 'delay', 'event', 'retry', 'completion');

-- Plugins that are subscribed to the event's type and whose filters it did not meet, at most 100; null: none.
alter table events add column filtered_plugins uuid[];

-- Subscriptions were narrowed then: what waits and is not subscribed to any more is given up by the lane's worker.
alter table delivery_lanes add column unsubscribed_at timestamptz;
create index delivery_lanes_unsubscribed_at_idx on delivery_lanes (plugin_id) where unsubscribed_at is not null;

-- A plugin does not get back what it published itself, unless it asks for it.
alter table plugins add column include_own boolean not null default false;
