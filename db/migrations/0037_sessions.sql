-- additive
-- Browsers that are logged in, and links by which the platform's backend lets people in.

create table portal_links (
  id uuid constraint portal_links_pkey primary key,
  tenant_id uuid not null constraint portal_links_tenant_id_fkey references tenants (id),
  -- SHA-256 of the token that the link carries.
  hash bytea not null constraint portal_links_hash_key unique,
  scope text not null constraint portal_links_scope_check check (scope in ('tenant', 'plugin')),
  role text not null constraint portal_links_role_check check (role in ('admin', 'editor', 'viewer')),
  plugin_id uuid constraint portal_links_plugin_id_fkey references plugins (id) on delete cascade,
  label text not null,
  -- The key that it was made by and ends with; for the environment's platform key its SHA-256. Neither in open mode.
  key_id uuid constraint portal_links_key_id_fkey references api_keys (id) on delete cascade,
  platform_key_hash bytea,
  -- How long the session lasts that it is exchanged for.
  session_seconds integer not null,
  return_url text,
  theme text constraint portal_links_theme_check check (theme in ('light', 'dark')),
  locale text constraint portal_links_locale_check check (locale in ('en', 'de')),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  constraint portal_links_scope_check1 check ((scope = 'plugin') = (plugin_id is not null))
);

create index portal_links_tenant_id_id_idx on portal_links (tenant_id, id);
create index portal_links_tenant_id_label_idx on portal_links (tenant_id, label);
create index portal_links_key_id_idx on portal_links (key_id) where key_id is not null;
create index portal_links_plugin_id_idx on portal_links (plugin_id) where plugin_id is not null;
create index portal_links_expires_at_idx on portal_links (expires_at);
create index portal_links_revoked_at_idx on portal_links (revoked_at) where revoked_at is not null;

create table sessions (
  id uuid constraint sessions_pkey primary key,
  -- Null for one of a platform key.
  tenant_id uuid constraint sessions_tenant_id_fkey references tenants (id),
  -- SHA-256 of what the browser holds.
  hash bytea not null constraint sessions_hash_key unique,
  kind text not null constraint sessions_kind_check check (kind in ('platform', 'tenant', 'plugin', 'portal')),
  transport text not null constraint sessions_transport_check check (transport in ('cookie', 'bearer')),
  -- What it ends with: a key, the environment's platform key by its SHA-256, or a portal link.
  key_id uuid constraint sessions_key_id_fkey references api_keys (id) on delete cascade,
  platform_key_hash bytea,
  portal_link_id uuid constraint sessions_portal_link_id_fkey references portal_links (id) on delete cascade,
  role text constraint sessions_role_check check (role in ('admin', 'editor', 'viewer')),
  plugin_id uuid constraint sessions_plugin_id_fkey references plugins (id) on delete cascade,
  -- The tenant that one of a platform key works for where a request names none.
  chosen_tenant_id uuid,
  label text not null,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint sessions_kind_check1 check (
    (kind = 'platform') = (tenant_id is null)
    and (kind = 'portal') = (portal_link_id is not null)
    and (kind = 'platform' or chosen_tenant_id is null)
  )
);

create index sessions_tenant_id_id_idx on sessions (tenant_id, id);
create index sessions_key_id_idx on sessions (key_id) where key_id is not null;
create index sessions_portal_link_id_idx on sessions (portal_link_id) where portal_link_id is not null;
create index sessions_plugin_id_idx on sessions (plugin_id) where plugin_id is not null;
create index sessions_expires_at_idx on sessions (expires_at);
create index sessions_revoked_at_idx on sessions (revoked_at) where revoked_at is not null;

-- Whoever came by a portal link. Entries that are there satisfied the narrower list: none needs another look, which
-- would lock the log for as long as it takes to read.
alter table audit_log drop constraint audit_log_actor_kind_check;
alter table audit_log add constraint audit_log_actor_kind_check
  check (actor_kind in ('open', 'platform', 'tenant', 'plugin', 'portal', 'operator', 'system')) not valid;
