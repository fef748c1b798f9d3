-- breaking
-- Workers of a release before 0032 know no dry run: they take its replays for real ones, and deliver.
comment on column replays.dry_run is 'Counts, and queues no delivery';
