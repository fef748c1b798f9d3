import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'

interface Count {
  /** Calls of the plugin, or of the shop, that are under way: with a place of their own or a borrowed one. */
  open: number
  /** Calls that the plugin, or any of the shop's, has dispatched and that are under way in borrowed places. */
  borrowed: number
}

/**
 * The calls of plugins that are under way, by shop and plugin. A plugin that dispatches while it is being called itself
 * needs no place for that: the call that it answers has one, and would wait for its own. It borrows the place of that
 * call.
 *
 * Nothing says for which call a plugin dispatches, as it need not hand back what it was told. So they are counted: a
 * plugin may have as many dispatched calls in borrowed places as there are open calls of its own. A borrowing call is
 * open, too, so that a chain of plugins goes on, up to as many to a place as automations may follow each other.
 *
 * Of this process. A plugin that is called by one process and dispatches by another waits there like anybody else.
 */
export class OpenCalls {
  readonly #plugins = new Map<string, Count>()
  readonly #tenants = new Map<string, Count>()

  /** Counts a call as open. @param pluginId the plugin that is called; null: the platform is */
  begin(tenantId: string, pluginId: string | null): void {
    this.#open(tenantId, pluginId, 1)
  }

  end(tenantId: string, pluginId: string | null): void {
    this.#open(tenantId, pluginId, -1)
  }

  /** Borrows for a call that the plugin dispatches the place of one that it answers. @returns false: none is left to lend */
  borrow(tenantId: string, pluginId: string): boolean {
    const own = this.#plugins.get(keyOf(tenantId, pluginId))
    const all = this.#tenants.get(tenantId)
    if (own === undefined || all === undefined || own.borrowed >= own.open) return false
    const placed = all.open - all.borrowed
    if (all.borrowed >= placed * MAX_CAUSATION_DEPTH) return false
    own.borrowed += 1
    all.borrowed += 1
    return true
  }

  giveBack(tenantId: string, pluginId: string): void {
    this.#count(this.#plugins, keyOf(tenantId, pluginId), 'borrowed', -1)
    this.#count(this.#tenants, tenantId, 'borrowed', -1)
  }

  #open(tenantId: string, pluginId: string | null, by: 1 | -1): void {
    if (pluginId !== null) this.#count(this.#plugins, keyOf(tenantId, pluginId), 'open', by)
    this.#count(this.#tenants, tenantId, 'open', by)
  }

  #count(counts: Map<string, Count>, key: string, what: keyof Count, by: 1 | -1): void {
    const count = counts.get(key) ?? { open: 0, borrowed: 0 }
    count[what] += by
    if (count.open === 0 && count.borrowed === 0) counts.delete(key)
    else counts.set(key, count)
  }
}

function keyOf(tenantId: string, pluginId: string): string {
  return `${tenantId} ${pluginId}`
}
