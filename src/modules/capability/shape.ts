import { buildValidator } from '#infra/http/edge.ts'
import { toProblem } from '#infra/http/problems.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { CapabilityContext } from './context.ts'
import { CapabilityManifest } from './schemas.ts'

/**
 * Makes the check of manifests that come from a plugin: of the same shape, with the same errors, as those that come
 * to PUT.
 */
export function createShapeCheck(): CapabilityContext['checkShape'] {
  const validate = buildValidator({})({
    schema: CapabilityManifest,
    httpPart: 'body',
    method: 'PUT',
    url: '',
  })
  return (value): readonly FieldError[] => {
    if (validate(value) === true) return []
    const { errors = [] } = toProblem({ validation: validate.errors, validationContext: 'body' })
    return errors
  }
}
