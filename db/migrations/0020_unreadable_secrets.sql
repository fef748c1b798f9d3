-- additive
-- Set by the worker that took the lane and could not open what it needs to sign and send; cleared by the one that can,
-- and when somebody gives the plugin another secret or other headers.
alter table delivery_lanes add column secret_unreadable boolean not null default false;

create index delivery_lanes_secret_unreadable_idx on delivery_lanes (plugin_id) where secret_unreadable;
