import type { ValidateFunction } from 'ajv'

/**
 * Schemas are compiled when their route is first used: the response schemas alone took 0.9 s of CPU at every start,
 * and a worker uses none of them. That every schema compiles, the tests show by using every route.
 */
export function lazyValidator(compile: () => ValidateFunction): ValidateFunction {
  let compiled: ValidateFunction | undefined
  const validate = ((data: unknown) => {
    compiled ??= compile()
    const valid = compiled(data)
    // Fastify looks for the errors at the function that it was given.
    validate.errors = compiled.errors ?? null
    return valid
  }) as ValidateFunction
  return validate
}

export function lazySerializer(compile: () => (data: unknown) => string): (data: unknown) => string {
  let compiled: ((data: unknown) => string) | undefined
  return (data) => (compiled ??= compile())(data)
}
