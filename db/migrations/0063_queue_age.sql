-- additive
-- How long deliveries had waited when their first attempt began, since they were put into the queue, and executions when they
-- were first taken up, since the event or the firing that started them: by the classes of
-- QUEUE_BORDERS in src/lib/histogram.ts. The default fills no page anew, and is what a version writes that has no such figure.

alter table delivery_stats
  add column queue_age integer[] not null default '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}';

alter table execution_stats
  add column queue_age integer[] not null default '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}';
