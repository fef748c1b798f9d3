/** A value that expressions of a form may read. */
export interface ScopeEntry {
  /** As it is written in a template: `trigger.customer.email`. */
  path: string
  type: string
  sample?: unknown
  group: string
}
