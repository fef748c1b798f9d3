-- additive
-- What was told and has not passed yet: each alert goes out once, whoever sees its cause.
alter table delivery_lanes
  -- `plugin.disabling_soon` was published in this streak of failures.
  add column disabling_announced boolean not null default false,
  -- Since when its queue is behind, as `queue.behind` told; null: it is not, or that it has caught up was told.
  add column behind_since timestamptz;
create index delivery_lanes_behind_since_idx on delivery_lanes (plugin_id) where behind_since is not null;

-- When `flow.failing` was told; null: it was not, or `flow.recovered` was told since.
alter table automation_flows add column failing_since timestamptz;
