-- additive
-- When a shop is awake: { "time_zone", "quiet_hours": { "from", "to" } | null, "business_days": { "weekdays", "holidays" } }.
-- Null: UTC, no quiet hours, Monday to Friday without holidays.
alter table tenants add column calendar jsonb;
