-- additive
-- Flows that start again and again for the same thing, by a hash of both, and how far it is tried whether they are
-- their own cause: whoever matches the tenant's events next goes on with it.
alter table flow_cursors add column repeats json;
