import { aiCheck } from './ai.ts'
import type { Check } from './check.ts'
import { clockCheck } from './clock.ts'
import { connectionsCheck, databaseCheck } from './database.ts'
import { accessCheck, masterKeyCheck } from './keys.ts'
import { feedCheck, migrationsCheck } from './migrations.ts'
import { dnsCheck, egressCheck } from './network.ts'
import { settingsCheck } from './settings.ts'
import { bloatCheck, diskCheck } from './storage.ts'
import { transactionsCheck } from './transactions.ts'
import { workerCheck } from './worker.ts'

/** In the order in which they are told. */
export const CHECKS: readonly Check[] = [
  settingsCheck,
  databaseCheck,
  connectionsCheck,
  transactionsCheck,
  clockCheck,
  migrationsCheck,
  feedCheck,
  masterKeyCheck,
  accessCheck,
  dnsCheck,
  egressCheck,
  aiCheck,
  workerCheck,
  diskCheck,
  bloatCheck,
]
