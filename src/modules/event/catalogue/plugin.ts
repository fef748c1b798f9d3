import { type CatalogueType, count, ENTITIES, id, nullable, object, text } from './event-type.ts'

const PROPERTIES = {
  plugin: text,
  plugin_id: id,
  consecutive_failures: count,
  last_error_class: nullable(text),
}
const REQUIRED = ['plugin', 'plugin_id']

const SAMPLE = {
  plugin: 'mailer',
  plugin_id: '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f',
  consecutive_failures: 10,
  last_error_class: 'connect_refused',
} as const

/** What this service itself tells about plugins. */
export const PLUGIN_TYPES: readonly CatalogueType[] = [
  {
    name: 'plugin.test',
    description: 'Sent on request to one plugin, to try its endpoint. Not stored, not in the feed.',
    entity: ENTITIES.plugin,
    sample: {
      plugin: 'mailer',
      plugin_id: SAMPLE.plugin_id,
      message: 'This is a test of your webhook endpoint.',
    },
    schema: object({ plugin: text, plugin_id: id, message: text }, ['plugin']),
  },
  {
    name: 'plugin.failing',
    description:
      'Deliveries to a plugin keep failing. They are retried, and wait while its circuit breaker is open.',
    entity: ENTITIES.plugin,
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'plugin.disabled',
    description:
      'A plugin was disabled, because it failed for too long or answered 410. Its deliveries wait.',
    entity: ENTITIES.plugin,
    sample: { ...SAMPLE, consecutive_failures: 214, reason: 'failing' },
    schema: object({ ...PROPERTIES, reason: text }, REQUIRED),
  },
  {
    name: 'plugin.recovered',
    description: 'A plugin that was failing takes deliveries again.',
    entity: ENTITIES.plugin,
    sample: { ...SAMPLE, consecutive_failures: 0, last_error_class: null },
    schema: object(PROPERTIES, REQUIRED),
  },
]
