-- additive
-- Templates that shops make of their flows; the ready-made ones are code.
create table automation_templates (
  tenant_id uuid not null constraint automation_templates_tenant_id_fkey references tenants (id),
  id uuid not null,
  title text not null,
  description text not null,
  category text not null,
  -- As exports have it, without name, description and status.
  definition text not null,
  -- What is asked for at install, by name, with the places that take each.
  parameters jsonb not null,
  -- For lists: event types that start it, actions that it needs.
  triggers jsonb not null,
  actions jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint automation_templates_pkey primary key (tenant_id, id)
);
