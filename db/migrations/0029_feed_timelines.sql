-- additive
-- A promoted standby gives transaction ids out again that its primary had given out behind the last one that it
-- received: events written under them would stand before places that readers have read past. Each timeline of a cluster
-- is an epoch of its own.
alter table feed_epochs add column timeline integer;

-- The timeline that this server writes. Unlike pg_control_checkpoint()'s it is the new one from the promotion on.
create function feed_timeline() returns integer language sql volatile as $$
  select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer
$$;

update feed_epochs set timeline = feed_timeline() where epoch = (select max(epoch) from feed_epochs);

-- Raises the epoch unless the newest one is of this cluster and timeline. Of two at once one waits and does nothing.
create function ensure_feed_epoch() returns void language sql volatile as $$
  insert into feed_epochs (epoch, system_identifier, timeline)
  select coalesce(newest.epoch, 0) + 1, cluster.system_identifier::text, feed_timeline()
  from pg_control_system() as cluster
  left join (select * from feed_epochs order by epoch desc limit 1) as newest on true
  where newest.system_identifier is distinct from cluster.system_identifier::text
    or newest.timeline is distinct from feed_timeline()
  on conflict (epoch) do nothing
$$;

-- As before, and under an epoch of the timeline that is written.
create or replace function feed_position() returns bigint language plpgsql volatile as $$
declare
  known text := current_setting('bcs.feed_position', true);
  top bigint := pg_current_xact_id_if_assigned()::text::bigint;
  number bigint;
  newest feed_epochs;
  result bigint;
begin
  -- A rollback to a savepoint takes the setting back together with the lock.
  if known <> '' then
    return known::bigint;
  end if;
  perform pg_advisory_xact_lock_shared(19060, 0);
  if top is null then
    number := pg_current_xact_id()::text::bigint;
  else
    begin
      -- Whatever is written gives the subtransaction its id.
      perform pg_logical_emit_message(true, 'bcs', '');
      select top + max((transactionid::text::bigint - (top & 4294967295) + 4294967296) % 4294967296) into number
      from pg_locks
      where locktype = 'transactionid' and pid = pg_backend_pid() and granted and mode = 'ExclusiveLock';
    exception when raise_exception then
      raise;
    end;
  end if;
  select * into newest from feed_epochs order by epoch desc limit 1;
  -- Without any epoch the service has not started yet.
  if newest.epoch is not null and newest.timeline is distinct from feed_timeline() then
    perform ensure_feed_epoch();
    select * into newest from feed_epochs order by epoch desc limit 1;
    -- Another transaction has raised it, and this one's snapshot is from before that.
    if newest.timeline is distinct from feed_timeline() then
      raise exception 'the timeline has changed' using errcode = 'serialization_failure';
    end if;
  end if;
  result := (coalesce(newest.epoch, 0)::bigint << 48) | number;
  perform set_config('bcs.feed_position', result::text, true);
  return result;
end
$$;
