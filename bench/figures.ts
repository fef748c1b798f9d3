import { actionDiscovery } from './figures/action-discovery.ts'
import { deadEndpoints } from './figures/dead-endpoints.ts'
import { coalescing } from './figures/coalescing.ts'
import { delivery } from './figures/delivery.ts'
import { dispatch } from './figures/dispatch.ts'
import { deliveryOrdered } from './figures/delivery-ordered.ts'
import { discovery } from './figures/discovery.ts'
import { fairness } from './figures/fairness.ts'
import { flowLatency } from './figures/flow-latency.ts'
import { flowLength } from './figures/flow-length.ts'
import { flowThroughput } from './figures/flow-throughput.ts'
import { flowWaiting } from './figures/flow-waiting.ts'
import { intakeBatch } from './figures/intake-batch.ts'
import { intakeSingle } from './figures/intake-single.ts'
import { latency } from './figures/latency.ts'
import { liveBesideReplay } from './figures/live-beside-replay.ts'
import { memory } from './figures/memory.ts'
import { noisyTenant } from './figures/noisy-tenant.ts'
import { statistics } from './figures/statistics.ts'
import { storage } from './figures/storage.ts'
import { statements } from './figures/statements.ts'
import type { Figure } from './support/figure.ts'

/** In the order of the table. */
export const FIGURES: readonly Figure[] = [
  intakeSingle,
  intakeBatch,
  delivery,
  deliveryOrdered,
  coalescing,
  latency,
  deadEndpoints,
  noisyTenant,
  liveBesideReplay,
  fairness,
  statements,
  statistics,
  memory,
  storage,
  discovery,
  dispatch,
  actionDiscovery,
  flowThroughput,
  flowLatency,
  flowLength,
  flowWaiting,
]
