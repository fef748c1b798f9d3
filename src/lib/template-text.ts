/** Whether text has something to fill in: an expression, or a tag. */
export function holdsTemplate(value: unknown): value is string {
  return typeof value === 'string' && (value.includes('{{') || value.includes('{%'))
}
