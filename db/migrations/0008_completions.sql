-- What a plugin told of the end of an action, so that telling it again is the same answer. The end that the row states
-- is the plugin's where finished_at = completed_at; else it is that of a call, or of a deadline, after it.
alter table action_invocations
  -- SHA-256 of the result. Null: none was told, or its body is gone.
  add column completion_hash bytea,
  add column completed_at timestamptz;
