import { invalidRequest } from '#infra/http/problems.ts'
import { defineProblem, type FieldError } from '#lib/api/problem.ts'

export const pluginNotFound = defineProblem(
  'plugin_not_found',
  404,
  'There is no such plugin',
  'Check the slug: GET /api/plugins lists the plugins of this tenant.',
)
export const pluginExists = defineProblem(
  'plugin_exists',
  409,
  'A plugin with this slug is registered already',
  'Choose another slug, or change the registered plugin by PUT or PATCH.',
)
export const webhookUrlRefused = defineProblem(
  'webhook_url_refused',
  422,
  'This URL may not be called',
  'Give an http or https URL of a host with a public address, without user name or password.',
)
export const revisionConflict = defineProblem(
  'revision_conflict',
  412,
  'The plugin has changed since it was read',
  'Read the plugin again, apply the change to what it is now, and send its new ETag as If-Match.',
)
export const headersNeeded = defineProblem(
  'headers_needed',
  409,
  'Stored headers and client certificates do not follow to another origin',
  'Send headers with their values, or {} to remove them; with a client certificate, or else, let a key of role admin move the plugin.',
)
export const tooManySecrets = defineProblem(
  'too_many_secrets',
  409,
  'Too many signing secrets are live',
  'Wait until one expires, or retire them all by overlap_seconds 0.',
)

const MAX_FIELD_ERRORS = 20

/** @throws `invalid_request` with these errors, unless there are none */
export function refuseInvalid(errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalidRequest(undefined, { errors: errors.slice(0, MAX_FIELD_ERRORS) })
}
