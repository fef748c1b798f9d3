-- additive
-- Writers of before, which hold no lock of the feed, end first.
lock table events in share row exclusive mode;

-- Where this transaction's events stand in the feed: the epoch above a transaction id that was given out under the
-- lock of the feed's writers, which is held until the transaction ends. A transaction that has written before has an
-- older id, and gets a subtransaction's.
create or replace function feed_position() returns bigint language plpgsql volatile as $$
declare
  known text := current_setting('bcs.feed_position', true);
  top bigint := pg_current_xact_id_if_assigned()::text::bigint;
  number bigint;
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
  select (coalesce(max(epoch), 0)::bigint << 48) | number into result from feed_epochs;
  perform set_config('bcs.feed_position', result::text, true);
  return result;
end
$$;

-- Below this position every writer of the feed has ended: what this snapshot does not see there will never be. Unlike
-- feed_horizon(), no transaction that writes no event holds it back. For one snapshot it may differ from call to
-- call: a statement that needs it twice asks once.
create function feed_writer_horizon() returns bigint language plpgsql stable as $$
declare
  seen pg_snapshot := pg_current_snapshot();
  number bigint := pg_snapshot_xmax(seen)::text::bigint;
  others xid[];
  result bigint;
begin
  if pg_snapshot_xmin(seen) <> pg_snapshot_xmax(seen) then
    -- Those that write elsewhere. A prepared transaction has no process, and its locks change hands one by one: in this
    -- database it counts as a writer.
    with locks as materialized (
      select locktype, pid, transactionid from pg_locks
      where granted and (
        (locktype = 'transactionid' and mode = 'ExclusiveLock')
        or (locktype = 'advisory' and classid = 19060 and objid = 0 and objsubid = 2
          and database = (select oid from pg_database where datname = current_database()))
      )
    )
    select array_agg(transactionid) into others from locks
    where locktype = 'transactionid' and case when pid is null
      then exists (
        select from pg_prepared_xacts p where p.transaction = transactionid and p.database <> current_database()
      )
      else pid not in (select pid from locks where locktype = 'advisory')
    end;
    -- Asked after the locks: who ends gives them back one by one, and is not in progress before the first is gone.
    select least(number, min(open.id::text::bigint)) into number
    from pg_snapshot_xip(seen) as open (id)
    where (open.id::xid = any (others) and pg_xact_status(open.id) = 'in progress') is not true;
  end if;
  select (coalesce(max(epoch), 0)::bigint << 48) | number into result from feed_epochs;
  -- A snapshot does not list its own transaction, which may still write.
  return least(result, nullif(current_setting('bcs.feed_position', true), '')::bigint);
end
$$;
