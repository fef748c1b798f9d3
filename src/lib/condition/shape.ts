/** One test of the value at `field`, or a group: all, at least one, or none of its conditions hold. */
export type Condition =
  | { field: string; operator: string; value?: unknown }
  | { all: Condition[] }
  | { any: Condition[] }
  | { none: Condition[] }

export const GROUP_NAMES = ['all', 'any', 'none'] as const
/** Groups and conditions on list items that may stand in one another. */
export const MAX_CONDITION_DEPTH = 5
export const MAX_CONDITION_TESTS = 100
