-- additive
-- Which plugins have an action of a name, and since when: a dispatch that names no plugin means the first of them.
create table action_names (
  tenant_id uuid not null constraint action_names_tenant_id_fkey references tenants (id),
  action_type text not null,
  plugin_id uuid not null constraint action_names_plugin_id_fkey references plugins (id) on delete cascade,
  since timestamptz not null default clock_timestamp(),
  -- When an admin has said that the name is this plugin's; the last word counts.
  chosen_at timestamptz,
  constraint action_names_pkey primary key (tenant_id, action_type, plugin_id)
);

create index action_names_plugin_id_idx on action_names (plugin_id);

insert into action_names (tenant_id, action_type, plugin_id, since)
select distinct on (p.tenant_id, action ->> 'action_type', p.id) p.tenant_id, action ->> 'action_type', p.id, p.created_at
from plugins p, jsonb_array_elements(p.registered_actions) as action
where p.deleted_at is null;

-- What the plugin's own keys may do; null: the default.
alter table plugins add column scopes jsonb;
