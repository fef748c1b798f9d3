-- additive
-- Rates below one a second.
alter table plugins
  drop constraint plugins_rate_limit_per_second_check,
  alter column rate_limit_per_second type double precision,
  add constraint plugins_rate_limit_per_second_check check (rate_limit_per_second between 0.0002 and 10000);

-- What of the event's body is sent, as it was chosen when the event came (src/modules/event/intake/payload.ts); null: all.
alter table deliveries add column payload text;
