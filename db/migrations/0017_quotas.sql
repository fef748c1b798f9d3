-- What a tenant may have and do beyond or below the defaults: { "plugins": 20, … }. A name that is missing has its default.
alter table tenants add column quotas jsonb not null default '{}';
