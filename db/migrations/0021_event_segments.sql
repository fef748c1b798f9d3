-- additive
-- Whose first segment of event types is: the first plugin that publishes or declares a type below it claims it.
create table event_segments (
  tenant_id uuid not null constraint event_segments_tenant_id_fkey references tenants (id),
  -- In lower case, with underscores for hyphens.
  segment text not null,
  -- Null: the shop's own, which no plugin claims.
  plugin_id uuid constraint event_segments_plugin_id_fkey references plugins (id) on delete cascade,
  claimed_at timestamptz not null default now(),
  constraint event_segments_pkey primary key (tenant_id, segment)
);

create index event_segments_plugin_id_idx on event_segments (plugin_id) where plugin_id is not null;

-- What plugins have declared and sent so far: the first of them has the segment.
insert into event_segments (tenant_id, segment, plugin_id, claimed_at)
select distinct on (used.tenant_id, used.segment) used.tenant_id, used.segment, used.plugin_id, used.created_at
from (
  select tenant_id, replace(lower(split_part(translate(name, '/', '.'), '.', 1)), '-', '_') as segment, plugin_id,
    created_at, 0 as place
  from event_types where plugin_id is not null
  union all
  select tenant_id, replace(lower(split_part(translate(name, '/', '.'), '.', 1)), '-', '_'), plugin_id, created_at, 1
  from seen_event_types where plugin_id is not null
) used
join plugins on plugins.id = used.plugin_id and plugins.deleted_at is null
where not exists (
  select from plugins named where named.tenant_id = used.tenant_id and named.deleted_at is null
    and named.id <> used.plugin_id and replace(named.slug, '-', '_') = used.segment
)
order by used.tenant_id, used.segment, used.place, used.created_at, used.plugin_id;
