-- additive
-- Secrets by which webhooks are verified that come to inlets.
alter table connections drop constraint connections_kind_check;
alter table connections add constraint connections_kind_check
  check (kind in ('header', 'basic', 'bearer', 'query', 'oauth2_client_credentials', 'webhook_secret'));
