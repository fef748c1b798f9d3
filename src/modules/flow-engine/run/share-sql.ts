import { OF_WHAT_IS_LEFT } from '#lib/async/share.ts'

/** Returns `hasShare` as a condition in SQL. */
export function hasShareSql(own: string, left: string): string {
  return `${own} < ${OF_WHAT_IS_LEFT} * ${left}`
}

/** Returns how much a party that has its own part may take of what is left, in SQL; none or less: nothing. */
export function shareOfLeftSql(own: string, left: string): string {
  return `ceil((${OF_WHAT_IS_LEFT} * ${left} - ${own}) / ${OF_WHAT_IS_LEFT + 1}.0)::bigint`
}
