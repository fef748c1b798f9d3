import { now } from '#lib/clock.ts'
import { evaluateCondition } from '#lib/condition/index.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import { decideFairly, type Verdict } from '#lib/async/fair-budget.ts'
import type { Path } from '#lib/json/path.ts'
import { matchesPattern } from '#lib/event-pattern.ts'
import { StepBudget } from '#lib/step-budget.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { Segments } from '../segments/segments.ts'
import { type CoalesceChoice, type CoalesceRule, coalesceRule } from './coalescing.ts'
import { type OrderingRule, orderingRule } from './ordering.ts'
import { type PayloadChoice, payloadOf } from './payload.ts'

/** A plugin that wants events of one type; with filters, only those whose data meets one of them. */
export interface Subscriber {
  readonly pluginId: string
  /** It gets back what it published itself. */
  readonly includeOwn: boolean
  readonly filters: readonly unknown[] | null
  /** The way in which the subscription of each filter sends the event, in their order; null: plainly, by any of them. */
  readonly choices: readonly SendChoice[] | null
}

/** The way in which an event is sent, by the subscription that takes it. */
interface SendChoice {
  /** Null: all of it. */
  readonly payload: string | null
  /** Null: whatever comes after it. */
  readonly coalesce: CoalesceRule | null
}

export interface SnapshotPlugin {
  id: string
  /** Left out where nothing is published. */
  slug?: string
  includeOwn?: boolean
  /** Set where its deliveries go out in order; `path` null: by the key of the event's type. */
  orderedBy?: { path: string | null } | null
  subscriptions: readonly (PayloadChoice & CoalesceChoice & { event: string; filter?: unknown })[]
}

export interface SnapshotType {
  name: string
  schema: SafeSchema | null
  pluginId: string | null
}

export interface SnapshotContent {
  version: number
  strict: boolean
  /** Somebody matches this tenant's events against flows, and wants to be told of them. */
  hasFlows: boolean
  plugins: readonly SnapshotPlugin[]
  types: readonly SnapshotType[]
  /** Names that came without anybody having declared them. */
  seen: readonly string[]
  /** First segments of types: those that were claimed, and those of types that the shop declares or sends itself. */
  claims?: readonly { segment: string; pluginId: string | null }[]
  ofShop?: readonly string[]
  /** Of the text that it was read from. */
  bytes?: number
}

/** Text that takes about as much memory as one plugin or type beside it; read, it takes several times its length. */
const BYTES_PER_WEIGHT = 100

/** The plugins that an event goes to, by their ids. */
export interface Audience {
  readonly plugins: readonly string[]
  /** Their filters cost more than an event may: what they would have said is not known. */
  readonly undecided: readonly string[]
  /** They want the type, and the event does not meet their filters. */
  readonly filtered: readonly string[]
  /** The payloads that are sent of it, by plugin; who is missing gets all of it. Left out: everybody does. */
  readonly payloads?: ReadonlyMap<string, string>
  /** By plugin, where only the newest of its key is sent. Left out: nowhere. */
  readonly coalesce?: ReadonlyMap<string, CoalesceRule>
}

function idOf({ pluginId }: Subscriber): string {
  return pluginId
}

/** The most that the filters of all plugins may cost for one event, some 15 ms. */
export const EVENT_STEPS = 150_000

/** A tenant that invents types without end must not fill the memory with them. */
const MAX_REMEMBERED_TYPES = 1_000

/** Types that a tenant's catalogue holds because they came: a tenant that invents types without end fills it once. */
export const MAX_SEEN_TYPES = 200

/** The names of seen types that need not be written any more. */
class SeenNames {
  readonly #names: Set<string>

  constructor(names: readonly string[]) {
    this.#names = new Set(names)
  }

  /** True once for a name that is new while there is space: whoever asked is to write it. */
  claim(name: string): boolean {
    if (this.#names.size >= MAX_SEEN_TYPES || this.#names.has(name)) return false
    this.#names.add(name)
    return true
  }
}

/** Keeps what intake must know of a tenant, as it stood at one version of its subscriptions. */
export class TenantSnapshot {
  readonly version: number
  readonly strict: boolean
  readonly hasFlows: boolean
  readonly types: ReadonlyMap<string, SnapshotType>
  readonly seen: SeenNames
  /** Of the plugins that want their deliveries in order, by id; null: there is none. */
  readonly ordered: ReadonlyMap<string, OrderingRule> | null
  /** Plugins and types with what their filters and schemas hold, for the cache's bound. */
  readonly weight: number
  readonly #content: SnapshotContent
  #segments: Segments | null = null
  /** By type. A Map, cleared when it is full: there is one for each tenant, where an LRUCache weighs too much. */
  readonly #subscribers = new Map<string, readonly Subscriber[]>()

  constructor(content: SnapshotContent) {
    this.version = content.version
    this.strict = content.strict
    this.hasFlows = content.hasFlows
    this.types = new Map(content.types.map((type) => [type.name, type]))
    this.seen = new SeenNames(content.seen)
    this.ordered = orderedPlugins(content.plugins)
    this.#content = content
    const { plugins, types, seen, claims = [] } = content
    const rows = 1 + plugins.length + types.length + seen.length + claims.length
    this.weight = rows + Math.ceil((content.bytes ?? 0) / BYTES_PER_WEIGHT)
  }

  /**
   * The plugins that get an event, published by one of them or by nobody of them, and those that want its type but
   * not this one. Their filters share a budget: those that cost more than is left when the others are decided are
   * `undecided`.
   */
  pluginsFor(
    event: string,
    data: unknown,
    publisherPluginId: string | null,
    budget = new StepBudget(EVENT_STEPS),
  ): Audience {
    const all = this.#subscribersOf(event)
    const subscribers =
      publisherPluginId === null
        ? all
        : all.filter(({ pluginId, includeOwn }) => includeOwn || pluginId !== publisherPluginId)
    const filtered = subscribers.filter(({ filters }) => filters !== null)
    const payloads = new Map<string, string>()
    const coalesce = new Map<string, CoalesceRule>()
    const note = ({ pluginId, choices }: Subscriber, index: number): void => {
      const choice = choices?.[index]
      if (choice === undefined) return
      if (choice.payload !== null) payloads.set(pluginId, choice.payload)
      if (choice.coalesce !== null) coalesce.set(pluginId, choice.coalesce)
    }
    for (const subscriber of subscribers) if (subscriber.filters === null) note(subscriber, 0)
    if (filtered.length === 0) {
      return {
        plugins: subscribers.map(idOf),
        undecided: [],
        filtered: [],
        ...(payloads.size > 0 && { payloads }),
        ...(coalesce.size > 0 && { coalesce }),
      }
    }
    const { yes, undecided } = decideFairly(filtered, budget, (subscriber, share) => {
      if (subscriber.choices === null) return meetsAny(subscriber.filters ?? [], data, share)
      const first = firstMet(subscriber.filters ?? [], data, share)
      if (typeof first === 'number') note(subscriber, first)
      return typeof first === 'number' ? true : first
    })
    const met = new Set(yes)
    const open = new Set(undecided)
    // Asked for again, it is sent all the same: no more than any of its subscriptions has sent.
    for (const subscriber of undecided) {
      const payload = subscriber.choices?.find((each) => each.payload !== null)?.payload
      if (payload != null) payloads.set(subscriber.pluginId, payload)
    }
    return {
      plugins: subscribers
        .filter((subscriber) => subscriber.filters === null || met.has(subscriber))
        .map(idOf),
      undecided: undecided.map(idOf),
      filtered: filtered.filter((subscriber) => !met.has(subscriber) && !open.has(subscriber)).map(idOf),
      ...(payloads.size > 0 && { payloads }),
      ...(coalesce.size > 0 && { coalesce }),
    }
  }

  /** Tells whether any event of the type may go to a plugin; its filter, if any, has not been asked. */
  isWanted(event: string): boolean {
    return this.#subscribersOf(event).length > 0
  }

  /** Asked for only where a plugin publishes. */
  get segments(): Segments {
    const { claims = [], ofShop = [], plugins } = this.#content
    return (this.#segments ??= new Segments({ claims, ofShop, plugins }))
  }

  /** Remembered by type: a tenant with 5,000 plugins pays for looking through them once, not for every event. */
  #subscribersOf(event: string): readonly Subscriber[] {
    let subscribers = this.#subscribers.get(event)
    if (subscribers === undefined) {
      subscribers = this.#content.plugins.flatMap((plugin) => subscriberOf(plugin, event))
      if (this.#subscribers.size >= MAX_REMEMBERED_TYPES) this.#subscribers.clear()
      this.#subscribers.set(event, subscribers)
    }
    return subscribers
  }
}

function orderedPlugins(plugins: readonly SnapshotPlugin[]): ReadonlyMap<string, OrderingRule> | null {
  const rules = new Map<string, OrderingRule>()
  for (const { id, orderedBy } of plugins) {
    const rule = orderedBy == null ? undefined : orderingRule('key', orderedBy.path)
    if (rule !== undefined) rules.set(id, rule)
  }
  return rules.size === 0 ? null : rules
}

function subscriberOf(plugin: SnapshotPlugin, event: string): Subscriber[] {
  const matching = plugin.subscriptions.filter((subscription) => matchesPattern(subscription.event, event))
  if (matching.length === 0) return []
  const unconditional = matching.some(({ filter }) => filter == null)
  const own = { pluginId: plugin.id, includeOwn: plugin.includeOwn === true }
  const choices = matching.map((each) => ({ payload: payloadOf(each), coalesce: coalesceRule(each) }))
  if (choices.every(({ payload, coalesce }) => payload === null && coalesce === null)) {
    return [{ ...own, filters: unconditional ? null : matching.map(({ filter }) => filter), choices: null }]
  }
  // The first that takes an event says how it is sent.
  const isFirstPlain = matching[0]?.filter == null
  return [{ ...own, filters: isFirstPlain ? null : matching.map(({ filter }) => filter ?? null), choices }]
}

/** The first of the filters that is met, where null is met by anything; false: none; null: that is not known. */
function firstMet(filters: readonly unknown[], data: unknown, share: StepBudget): number | false | null {
  for (const [index, filter] of filters.entries()) {
    const verdict = filter === null ? true : meetsAny([filter], data, share)
    if (verdict !== false) return verdict === null ? null : index
  }
  return false
}

/** Null: none of the filters is met as far as the share did. */
function meetsAny(filters: readonly unknown[], data: unknown, share: StepBudget): Verdict {
  const earlier = (field: Path, spend: (steps: number) => void) => earlierValue(data, field, spend)
  const context = { now: new Date(now()), earlier, budget: share }
  let isUndecided = false
  for (const filter of filters) {
    const { result, exhausted } = evaluateCondition(filter, data, context)
    if (result) return true
    if (exhausted) isUndecided = true
  }
  return isUndecided ? null : false
}

/** Says whether subscriptions take an event; its data is asked for only where a filter decides. */
export function isSubscribed(
  subscriptions: SnapshotPlugin['subscriptions'],
  event: string,
  data: () => unknown,
): boolean {
  const [subscriber] = subscriberOf({ id: '', subscriptions }, event)
  if (subscriber === undefined) return false
  if (subscriber.filters === null) return true
  if (subscriber.filters.includes(null)) return true
  // Who cannot be decided keeps what waits.
  return meetsAny(subscriber.filters, data(), new StepBudget(EVENT_STEPS)) !== false
}
