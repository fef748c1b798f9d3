/** A hostile definition, with a name for its attack. */
export interface Hostile {
  name: string
  definition: unknown
}

const MANUAL = { type: 'manual' }

export function flow(name: string, steps: unknown, rest: Record<string, unknown> = {}): Hostile {
  return { name, definition: { name: 'hostile', status: 'active', trigger: MANUAL, steps, ...rest } }
}

export function set(name: string, template: unknown): Hostile {
  return flow(name, [{ id: 'set', type: 'set', variables: { value: template } }])
}

export function test(name: string, condition: unknown): Hostile {
  return flow(name, [{ id: 'test', type: 'condition', condition, on_true: 'end', on_false: 'end' }])
}

export function nest(inner: unknown, depth: number): unknown {
  let value = inner
  for (let level = 0; level < depth; level++) value = { a: value }
  return value
}

export function many<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}
