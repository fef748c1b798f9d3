-- additive
-- What people look for by its beginning: only an index in the order of the bytes finds it. The tables stay as they
-- are, their indexes are built anew: nobody reads them meanwhile, so nothing else is done here.
alter table events alter column source_id type text collate "C";
alter table automation_executions alter column key type text collate "C";
