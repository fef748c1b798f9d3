import { defineProblem } from '#lib/api/problem.ts'

export const deliveryNotFound = defineProblem(
  'delivery_not_found',
  404,
  'There is no such delivery',
  'Check the id: GET /api/plugins/events lists the deliveries of this tenant.',
)
export const secretUnreadable = defineProblem(
  'secret_unreadable',
  409,
  'A stored secret of the plugin cannot be opened',
  "The master key that sealed it is not configured. Rotate the plugin's secret, and send its headers and client certificate again, or have the operator give that key in MASTER_KEY_PREVIOUS.",
)
export const deliveryNotRetryable = defineProblem(
  'delivery_not_retryable',
  409,
  'This delivery cannot be sent again',
  'Its body has aged out or was erased, or its plugin was deleted.',
)
export const inFlight = defineProblem(
  'in_flight',
  409,
  'This delivery is being sent',
  'It is due, and a worker has it in hand. Read it again in a moment, and retry it if the attempt has failed.',
)
export const deliveryRetryNotFound = defineProblem(
  'delivery_retry_not_found',
  404,
  'There is no such bulk retry',
  'Check the id: GET /api/delivery-retries lists those of this shop.',
)
export const deliveryRetryFinished = defineProblem(
  'delivery_retry_finished',
  409,
  'The bulk retry has finished already',
  'Only one that is queued or running can be stopped.',
)
export const tooManyDeliveryRetries = defineProblem(
  'too_many_delivery_retries',
  409,
  'Too many bulk retries are open',
  'A shop has at most 10 that are queued or running. Wait for one, or cancel it.',
)
