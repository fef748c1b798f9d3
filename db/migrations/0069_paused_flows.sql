-- additive
-- How many flows the service has paused is read with every scrape.
create index automation_flows_paused_idx on automation_flows (tenant_id) where status = 'paused' and deleted_at is null;
