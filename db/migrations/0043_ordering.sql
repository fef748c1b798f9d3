-- additive
-- Deliveries of one key go out one at a time, in the order of intake.
alter table plugins add column ordering text not null default 'none'
  constraint plugins_ordering_check check (ordering in ('none', 'key'));
-- A path of the data. Null: what the event's type is about.
alter table plugins add column ordering_key text;

-- Of the key only a hash, with the plugin. Null: the delivery waits for no other.
alter table deliveries add column ordering_key uuid;
-- Where it stands among those of its key: the feed's position of the transaction that queued it, then its event's id.
alter table deliveries add column ordering_place bigint;
-- Since when it is set aside because another of its key goes first, with `due_at` infinity: what a worker has found in the
-- queue and cannot send yet is not found again before that one has ended.
alter table deliveries add column behind_since timestamptz;
-- Some delivery is, or was, set aside right behind it.
alter table deliveries add column followed boolean not null default false;

-- Whatever ends a delivery lets the next ones of its key go on, in the same transaction. Sixteen at a time, once fewer than
-- eight are left, so that a worker finds them together; all but the first still wait for the one before them. They take the
-- place in the queue that they had: what has waited is not behind what has come since.
create function release_next_deliveries() returns trigger language plpgsql as $$
begin
  if not exists (
    select from (
      select next.behind_since from deliveries next
      where next.plugin_id = old.plugin_id and next.tenant_id = old.tenant_id and next.ordering_key = old.ordering_key
        and next.status in ('pending', 'retry')
        and (next.ordering_place, next.event_id) > (old.ordering_place, old.event_id)
      order by next.ordering_place, next.event_id limit 8
    ) next
    where next.behind_since is not null
  ) then
    return null;
  end if;
  update deliveries d set due_at = least(d.behind_since, now()), behind_since = null, bulk = d.bulk and old.bulk
  from (
    select next.id, next.behind_since from deliveries next
    where next.plugin_id = old.plugin_id and next.tenant_id = old.tenant_id and next.ordering_key = old.ordering_key
      and next.status in ('pending', 'retry')
      and (next.ordering_place, next.event_id) > (old.ordering_place, old.event_id)
    order by next.ordering_place, next.event_id limit 16
  ) next
  where next.behind_since is not null and d.tenant_id = old.tenant_id and d.id = next.id
    and d.behind_since is not null and d.status in ('pending', 'retry');
  return null;
end
$$;

create trigger deliveries_release_next after update of status on deliveries for each row
  when (old.followed and old.status in ('pending', 'retry') and new.status not in ('pending', 'retry'))
  execute function release_next_deliveries();
