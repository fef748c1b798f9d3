/**
 * What happens to one statement on its way.
 *
 * | kind      | effect |
 * | --------- | ------ |
 * | `kill`    | the service's process is killed |
 * | `drop`    | the connection breaks, and both ends hear of it |
 * | `silence` | nothing arrives any more on this connection, and nobody hears of it |
 * | `crash`   | the server's process of this connection is killed, so that the whole server starts again |
 */
export const FAULT_KINDS = ['kill', 'drop', 'silence', 'crash'] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

/** `before`: the server does not get the statement. `after`: it has done it, and its answer does not get back. */
export const FAULT_POINTS = ['before', 'after'] as const
export type FaultPoint = (typeof FAULT_POINTS)[number]

export interface Fault {
  kind: FaultKind
  point: FaultPoint
  /** As `shapeOf` gives it. */
  statement: string
}

/** The text of a statement without what differs from one time to the next: parameters, lists of them, white space. */
export function shapeOf(text: string): string {
  return text
    .replaceAll(/\$\d+/g, '$')
    .replaceAll(/\(\$(, \$)+\)/g, '($)')
    .replaceAll(/(\(\$\), )+\(\$\)/g, '($)')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

export function nameOf({ kind, point, statement }: Fault): string {
  return `${kind} ${point}: ${statement.slice(0, NAME_CHARS)}`
}

const NAME_CHARS = 90
