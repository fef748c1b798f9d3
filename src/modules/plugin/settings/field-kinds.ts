import type { Static, TSchema } from '@sinclair/typebox'
import type { Selectable, Updateable } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { JsonObject } from './redaction.ts'

type Columns = DB['plugins']
type Column = keyof Columns
type Read<C extends Column> = Selectable<Columns>[C]
type Written<C extends Column> = Exclude<Updateable<Columns>[C], undefined>

type NullableColumn = {
  [C in Column]: null extends Read<C> ? (Read<C> extends Written<C> ? C : never) : never
}[Column]
type TextColumn = { [C in Column]: string extends Written<C> & Read<C> ? C : never }[Column]

/** The service's own values, for plugins that have none. */
export interface Defaults {
  retrySchedule: readonly number[]
  timeoutMs: number
  maxInFlight: number
}

/** Seals and opens one field of one row. Empty is stored as null. */
export interface Seal {
  seal: (value: JsonObject) => Buffer | null
  open: (sealed: Buffer | null) => JsonObject
}

/** The field's new value, whether it has leaves of the stored one, and what was wrong with what was given. */
interface Settled<V> {
  value: V
  kept?: boolean
  errors?: FieldError[]
}

/** A plugin's field in all the forms that it takes on its way from a request to the database and to an answer. */
export interface Field<G extends TSchema, A extends TSchema, V, C extends Column> {
  /** In bodies. Null returns an optional field to its default. */
  given: G
  required?: true
  answer: A
  /** The value of a plugin that was told nothing. */
  initial: V
  column: C
  write: (value: V, seal: Seal) => Written<C>
  read: (stored: Read<C>, seal: Seal) => V
  /** Says what the body's schema cannot. */
  check?: (given: NonNullable<Static<G>>) => FieldError[]
  /** The egress guard decides about it. */
  isUrl?: true
  /** The value after a change; without it, what was given, or the default for null. */
  settle?: (
    given: Static<G> | undefined,
    before: V,
    webhookUrl: { before: string; after: string },
  ) => Settled<V>
  /** Its form in an answer, to somebody who may read secrets or may not; without it, the value. */
  show?: (value: V, mayReadSecrets: boolean) => Static<A>
  /**
   * Its form in the audit log, which no erasure reaches, so without what may be a customer's; `null`: that it changed
   * is all that is told. Without it, the form of an answer.
   */
  tell?: ((value: V) => unknown) | null
  /** A column that follows from the value, to be looked for where the value is sealed. */
  follower?: { column: Column; write: (value: V) => unknown }
  /** A replacement that leaves it out keeps it: nobody can read it, to send it again. */
  outlivesReplacement?: true
  /** Only admins give it, or take it away. */
  isForAdmins?: true
  /** Requests carry it, so a stored value must not move to another origin unseen. */
  isSent?: true
  /** A change of it makes intake match anew. */
  rematches?: true
  /** A change of it forgets the failures of deliveries, and sends at once. */
  restarts?: true
}

/** Declares a field that takes more than its column's own type. */
export function field<G extends TSchema, A extends TSchema, V, C extends Column>(
  spec: Field<G, A, V, C>,
): Field<G, A, V, C> {
  return spec
}

/** Declares a field that is stored as it is, in a column where null is the default. */
export function optional<G extends TSchema, A extends TSchema, C extends NullableColumn>(
  column: C,
  given: G,
  answer: A,
): Field<G, A, Read<C>, C> {
  const write = (value: Read<C>): Written<C> => value as Written<C>
  return { given, answer, initial: null, column, write, read: (stored) => stored }
}

/** Declares a limit: null means that the service's own value applies, which the answer says in `effective`. */
export function limit<G extends TSchema, A extends TSchema, C extends NullableColumn, E extends TSchema>(
  column: C,
  given: G,
  answer: A,
  effective: { answer: E; otherwise: (defaults: Defaults) => Static<E> },
): Field<G, A, Read<C>, C> & { effective: typeof effective } {
  return { ...optional(column, given, answer), effective }
}

/** Declares a text that every plugin has. */
export function text<G extends TSchema, A extends TSchema, C extends TextColumn>(
  column: C,
  given: G,
  answer: A,
  more: Pick<Field<G, A, string, C>, 'required' | 'check' | 'isUrl' | 'settle' | 'restarts'>,
): Field<G, A, string, C> {
  const write = (value: string): Written<C> => value as Written<C>
  return { given, answer, initial: '', column, write, read: (stored) => stored as string, ...more }
}
