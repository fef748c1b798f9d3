-- additive
-- Credentials of a shop, which flows name and never hold.
create table connections (
  id uuid constraint connections_pkey primary key,
  tenant_id uuid not null,
  name text not null constraint connections_name_check check (char_length(name) between 1 and 64),
  kind text not null constraint connections_kind_check
    check (kind in ('header', 'basic', 'bearer', 'query', 'oauth2_client_credentials')),
  description text not null default '',
  -- Hosts that its values may be sent to.
  hosts text[] not null,
  -- What is no secret: the header's name, where tokens are asked for.
  settings json not null,
  values_sealed bytea not null,
  -- Raised by every change: what was fetched with earlier values is not used any more.
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint connections_tenant_id_name_key unique (tenant_id, name)
);

-- Values of a shop that its flows read as {{variables.name}}.
create table shop_variables (
  tenant_id uuid not null,
  name text not null constraint shop_variables_name_check check (char_length(name) between 1 and 64),
  value json not null,
  description text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint shop_variables_pkey primary key (tenant_id, name)
);
