import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** Bodies are closed: a misspelt field is an error that names it, not something that is lost. */
export const CLOSED = { additionalProperties: false }

export const Params = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) })
export const ListQuery = Type.Object(
  { limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }) },
  CLOSED,
)
export type ListQuery = Static<typeof ListQuery>

export const Line = (maxLength = 200) => Type.String({ minLength: 1, maxLength, pattern: '\\S' })
export const Text = () => Type.String({ maxLength: 10_000 })
export const Email = () => Type.String({ format: 'email', maxLength: 254 })
export const Tags = () => Type.Array(Line(64), { maxItems: 100 })
/** URLs. */
export const Images = () => Type.Array(Line(2048), { maxItems: 100 })
/** Of money, in the currency's unit: 39.9, or "39.90". */
export const Amount = () =>
  Type.Unsafe<number | string>({
    type: ['number', 'string'],
    minimum: 0,
    maximum: 1_000_000_000,
    pattern: '^\\d{1,9}(\\.\\d{1,2})?$',
  })
/** Of people, whose ids come from elsewhere. */
export const PersonId = () =>
  Type.Unsafe<string | number>({ type: ['string', 'integer'], minLength: 1, maxLength: 254 })
export const Currency = () => Type.String({ pattern: '^[A-Z]{3}$' })
export const Count = () => Type.Integer({ minimum: 0, maximum: 1_000_000_000 })
export const AnyObject = () => Type.Record(Type.String(), Type.Unknown())

export const toCents = (amount: number | string): number => Math.round(Number(amount) * 100)
export const fromCents = (cents: number): number => cents / 100

/** Fields that were given and differ from what is there. */
export function changedFields(before: Record<string, unknown>, given: Record<string, unknown>): string[] {
  return Object.keys(given).filter(
    (name) => given[name] !== undefined && JSON.stringify(given[name]) !== JSON.stringify(before[name]),
  )
}
