/** What the service tells of plugins' health, as events. */
const HEALTH_EVENTS = ['plugin.failing', 'plugin.recovered', 'plugin.disabled'] as const
export type HealthEvent = (typeof HEALTH_EVENTS)[number]

export function isHealthEvent(event: string): boolean {
  return (HEALTH_EVENTS as readonly string[]).includes(event)
}
