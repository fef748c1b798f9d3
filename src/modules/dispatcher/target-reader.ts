import type { DeliveryService, DeliveryTarget } from '../webhook-delivery/index.ts'

/** Plugins as they are when they are called. Who asks for the same one in the same tick shares the look-up. */
export class TargetReader {
  readonly #deliveries: Pick<DeliveryService, 'target'>
  readonly #asked = new Map<string, Promise<DeliveryTarget | undefined>>()

  constructor(deliveries: Pick<DeliveryService, 'target'>) {
    this.#deliveries = deliveries
  }

  get(tenantId: string, pluginId: string): Promise<DeliveryTarget | undefined> {
    const name = `${tenantId} ${pluginId}`
    let target = this.#asked.get(name)
    if (target === undefined) {
      // It is sent after all of them have asked, so that nobody gets what was true before.
      target = Promise.resolve().then(() => {
        this.#asked.delete(name)
        return this.#deliveries.target(tenantId, pluginId)
      })
      this.#asked.set(name, target)
    }
    return target
  }
}
