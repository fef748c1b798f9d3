-- What the AI's provider said when a message was written by its template instead, bounded and free of secrets.
alter table automation_messages add column fallback_detail text;

-- Who was in a flow, and when last: kept longer than executions are, for `reenter_after`. Of the key only a hash.
create table automation_enrolments (
  tenant_id uuid not null,
  flow_id uuid not null,
  key_hash bytea not null,
  execution_id uuid not null,
  enrolled_at timestamptz not null,
  -- Null: for as long as the flow is there.
  expires_at timestamptz,
  primary key (tenant_id, flow_id, key_hash)
);

create index automation_enrolments_expires_at_idx on automation_enrolments (expires_at) where expires_at is not null;

insert into automation_enrolments (tenant_id, flow_id, key_hash, execution_id, enrolled_at, expires_at)
select distinct on (tenant_id, flow_id, key) tenant_id, flow_id,
  sha256(convert_to(flow_id::text || ' ' || key, 'UTF8')), id, created_at, created_at + interval '366 days'
from automation_executions where key is not null and status <> 'skipped' and retry_of is null
order by tenant_id, flow_id, key, created_at desc;

-- What a flow was installed from: the same template with the same parameters is installed once, unless asked for.
alter table automation_flows add column template_key text;

create unique index automation_flows_tenant_id_template_key
  on automation_flows (tenant_id, template_id, template_key) where deleted_at is null and template_key is not null;
