/** Returns whether text has something to fill in: an expression, or a tag. */
export function holdsTemplate(value: unknown): value is string {
  return typeof value === 'string' && (value.includes('{{') || value.includes('{%'))
}

/** Expressions and tags of a text. None begins in another of its kind, so that each character is looked at once. */
export const PLACEHOLDER = /\{\{(?:(?!\{\{).)*?\}\}|\{%(?:(?!\{%).)*?%\}/gs
