/** The events by which the service tells of plugins' health. */
export const HEALTH_EVENTS = [
  'plugin.failing',
  'plugin.disabling_soon',
  'plugin.recovered',
  'plugin.disabled',
  'queue.behind',
  'queue.caught_up',
] as const
export type HealthEvent = (typeof HEALTH_EVENTS)[number]

export function isHealthEvent(event: string): boolean {
  return (HEALTH_EVENTS as readonly string[]).includes(event)
}
