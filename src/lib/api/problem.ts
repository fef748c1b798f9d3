/** One thing that is wrong with a request: a JSON pointer (RFC 6901) into it, and what to do about it. */
export interface FieldError {
  pointer: string
  detail: string
}

/** An RFC 9457 body. `code` is the contract; `title` and `detail` are for people and may change. */
export interface ProblemDetails {
  type: string
  title: string
  status: number
  detail: string
  code: string
  errors?: FieldError[]
  [extension: string]: unknown
}

export interface ProblemExtra {
  errors?: readonly FieldError[]
  /** Further members of the body; they cannot replace the standard ones. */
  extensions?: Record<string, unknown>
  /** Response headers, such as `retry-after`. */
  headers?: Record<string, string>
  cause?: unknown
}

/** Makes the problem; without `detail` the body carries the definition's `fix`. */
export interface ProblemDefinition<Code extends string = string> {
  (detail?: string, extra?: ProblemExtra): Problem
  readonly code: Code
  readonly status: number
  readonly title: string
  readonly fix: string
}

/** An error that has an HTTP answer. Everything else that is thrown is a 500 without details. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly code: string
  readonly title: string
  readonly errors: readonly FieldError[] | undefined
  readonly extensions: Readonly<Record<string, unknown>>
  readonly headers?: Record<string, string>

  constructor(definition: ProblemDefinition, detail = definition.fix, extra: ProblemExtra = {}) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.status = definition.status
    this.code = definition.code
    this.title = definition.title
    this.errors = extra.errors
    this.extensions = extra.extensions ?? {}
    if (extra.headers) this.headers = extra.headers
  }

  toJSON(requestId?: string): ProblemDetails {
    return {
      ...this.extensions,
      type: `/docs/problems#${this.code}`,
      title: this.title,
      status: this.status,
      detail: this.message,
      code: this.code,
      ...(this.errors && { errors: [...this.errors] }),
      ...(requestId && { request_id: requestId }),
    }
  }
}

export function isProblem(error: unknown, { code }: ProblemDefinition): error is Problem {
  return error instanceof Problem && error.code === code
}

const catalogue = new Map<string, ProblemDefinition>()
const CODE = /^[a-z][a-z0-9_]*$/

/**
 * Registers a problem, once, at module load; `fix` says what the caller can do about it.
 *
 * @example
 * export const pluginNotFound = defineProblem('plugin_not_found', 404, 'Plugin not found', 'Check the slug.')
 * throw pluginNotFound(`No plugin "${slug}" is registered.`)
 */
export function defineProblem<Code extends string>(
  code: Code,
  status: number,
  title: string,
  fix: string,
): ProblemDefinition<Code> {
  if (!CODE.test(code)) throw new TypeError(`problem code "${code}" is not snake_case`)
  if (catalogue.has(code)) throw new TypeError(`problem code "${code}" is defined twice`)
  const make = (detail?: string, extra?: ProblemExtra): Problem => new Problem(definition, detail, extra)
  const definition: ProblemDefinition<Code> = Object.freeze(Object.assign(make, { code, status, title, fix }))
  catalogue.set(code, definition)
  return definition
}

/** Every problem that the loaded modules define, by code: the source of docs/problems.md. */
export function problemCatalogue(): readonly ProblemDefinition[] {
  return [...catalogue.values()].sort((a, b) => (a.code < b.code ? -1 : 1))
}
