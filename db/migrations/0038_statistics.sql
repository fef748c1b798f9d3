-- additive
-- What happened, added up as it happens: one row for each span of time and what it is told apart by. `span` is what a row
-- stands for, in seconds: 60 as it is written, and 300, 3600 and 86400 as retention rolls it up (src/infra/statistics).
-- `latency` counts by the classes of src/lib/histogram.ts. Rows of the present are updated every few seconds: no other
-- index, and space in the page, keep that within the page.

create table delivery_stats (
  tenant_id uuid not null,
  span integer not null,
  bucket timestamptz not null,
  plugin_id uuid not null,
  event text not null,
  -- Empty where nothing went wrong.
  error_class text not null,
  attempts integer not null,
  sent integer not null,
  -- Of those sent, the ones that needed one attempt.
  first_try integer not null,
  retried integer not null,
  failed integer not null,
  latency integer[] not null,
  constraint delivery_stats_pkey primary key (tenant_id, span, bucket, plugin_id, event, error_class)
) with (fillfactor = 70);

create table execution_stats (
  tenant_id uuid not null,
  span integer not null,
  bucket timestamptz not null,
  flow_id uuid not null,
  -- Empty unless it failed.
  error_code text not null,
  completed integer not null,
  failed integer not null,
  cancelled integer not null,
  timed_out integer not null,
  -- From start to end, waiting included.
  latency integer[] not null,
  constraint execution_stats_pkey primary key (tenant_id, span, bucket, flow_id, error_code)
) with (fillfactor = 70);

create table action_stats (
  tenant_id uuid not null,
  span integer not null,
  bucket timestamptz not null,
  action text not null,
  -- Whose it was: a slug, or `platform`; empty where nobody has it.
  plugin text not null,
  -- Empty unless it failed.
  error_code text not null,
  succeeded integer not null,
  failed integer not null,
  accepted integer not null,
  latency integer[] not null,
  constraint action_stats_pkey primary key (tenant_id, span, bucket, action, plugin, error_code)
) with (fillfactor = 70);

-- How far each table is rolled up.
create table stats_rollups (
  name text constraint stats_rollups_pkey primary key,
  until timestamptz not null
);
