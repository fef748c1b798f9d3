/** The members by which a step is a condition itself, without one of its own. */
export const INLINE_CONDITION = ['field', 'operator', 'value', 'all', 'any', 'none'] as const
