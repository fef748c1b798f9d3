-- additive
-- A plugin's client certificate with its key, for endpoints that ask for one (mutual TLS), sealed like its headers.
alter table plugins add column client_certificate_sealed bytea;
-- When it ends: told before, by whoever cannot open it.
alter table plugins add column client_certificate_ends_at timestamptz;
