/** Kinds of durable jobs, by the names of their lists, which are those of their tables. */
export const JOB_LISTS = ['replays', 'recoveries', 'erasures', 'bulk_changes', 'delivery_retries'] as const

/** The lists of a tenant of which its live stream tells that they have changed. */
export const CHANGE_TOPICS = ['events', 'deliveries', 'executions', 'plugins', ...JOB_LISTS] as const
export type ChangeTopic = (typeof CHANGE_TOPICS)[number]
