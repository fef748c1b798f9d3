-- additive
-- A plugin's slug is its own segment, which nobody claims: 0021 did so for plugins that had declared or sent types below
-- it. What an admin has assigned since has a time of its own.
delete from event_segments claim using plugins
where plugins.id = claim.plugin_id and replace(plugins.slug, '-', '_') = claim.segment
  and (
    exists (
      select from event_types declared
      where declared.tenant_id = claim.tenant_id and declared.plugin_id = claim.plugin_id
        and declared.created_at = claim.claimed_at
    ) or exists (
      select from seen_event_types seen
      where seen.tenant_id = claim.tenant_id and seen.plugin_id = claim.plugin_id
        and seen.created_at = claim.claimed_at
    )
  );
