import { toPointer } from '#lib/json/error.ts'
import { flowProblemDefinition, type FlowProblemCode, type Severity } from './problem-codes.ts'
import { suggest } from './suggest.ts'

export type { FlowProblemCode, Severity } from './problem-codes.ts'

/** One thing that is wrong with a definition. Errors keep it from being published, warnings do not. */
export interface FlowProblem {
  code: FlowProblemCode
  severity: Severity
  /** Into the definition as it was sent; of a missing member, to the value that lacks it. */
  pointer: string
  step_id: string | null
  /** Says what is wrong and how to mend it. */
  message: string
}

export type Path = readonly (string | number)[]

/** A definition with more problems than this is no longer being mended one by one. */
const MAX_PROBLEMS = 200

export class ProblemList {
  readonly problems: FlowProblem[] = []
  hasErrors = false
  readonly #definition: unknown

  constructor(definition: unknown) {
    this.#definition = definition
  }

  /** @param path may name what is missing */
  report(
    code: FlowProblemCode,
    path: Path,
    message: string,
    stepId: string | null,
    severity?: Severity,
  ): void {
    const effective = severity ?? flowProblemDefinition(code).severity
    if (effective === 'error') this.hasErrors = true
    if (this.isFull) return
    this.problems.push({
      code,
      severity: effective,
      pointer: this.#pointerTo(path),
      step_id: stepId,
      message,
    })
    if (this.problems.length === MAX_PROBLEMS - 1) {
      const last = 'Mend these first: there are more problems than are listed.'
      this.problems.push({
        code: 'too_many_problems',
        severity: 'error',
        pointer: '',
        step_id: null,
        message: last,
      })
      this.hasErrors = true
    }
  }

  /** To the place, or to the value that lacks it. */
  #pointerTo(path: Path): string {
    let current = this.#definition
    for (const [depth, segment] of path.entries()) {
      if (typeof current !== 'object' || current === null || !Object.hasOwn(current, segment)) {
        return toPointer(path.slice(0, depth))
      }
      current = (current as Record<string | number, unknown>)[segment]
    }
    return toPointer(path)
  }

  /** The name that was meant; null also when nobody would read it any more. */
  near(text: string, names: Iterable<string>): string | null {
    return this.isFull ? null : suggest(text, names)
  }

  get isFull(): boolean {
    return this.problems.length >= MAX_PROBLEMS
  }
}
