import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { mayRead } from '#infra/auth/scopes.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { checkSchema, normaliseSchema, type SafeSchema, validate } from '#lib/schema/safe/index.ts'
import { CATALOGUE, type CatalogueType } from '../catalogue/index.ts'
import { eventTypeInvalid, eventTypeNotFound, eventTypeTaken, tooManyEventTypes } from '../errors.ts'
import { deleteSeenTypes, findSeenType, selectSeenTypes, type SeenTypeRow } from './seen-repository.ts'
import { countTypes, deleteType, findType, selectTypes, type TypeRow, upsertType } from './repository.ts'
import type {
  EventType,
  EventTypeInput,
  EventTypePage,
  EventTypeQuery,
  EventTypeReadQuery,
} from './schemas.ts'
import { usageOf } from './usage.ts'

export interface TypeContext {
  db: Kysely<DB>
}

/** Intake keeps a tenant's types in memory. */
export const MAX_TYPES = 1_000
const MAX_SAMPLE_BYTES = 64 * 1024

/** The platform's types, the tenant's own, and those that came undeclared, by name. */
export async function listTypes(
  ctx: TypeContext,
  actor: Actor,
  tenantId: string,
  query: EventTypeQuery,
): Promise<EventTypePage> {
  const after = query.cursor === undefined ? '' : decodeCursor(query.cursor, ['string'])?.[0]
  if (typeof after !== 'string') throw invalidCursor()
  const [own, seen] = await Promise.all([selectTypes(ctx.db, tenantId), selectSeenTypes(ctx.db, tenantId)])
  // By name: a declaration stands before what was seen, and the platform's before both.
  const types = new Map(
    [...seen.map(viewSeen), ...own.map(viewOwn), ...[...CATALOGUE.values()].map(viewCatalogued)].map(
      (type) => [type.name, type],
    ),
  )
  const wanted = [...types.values()]
    .filter((type) => type.name > after && isVisible(actor, type) && isAskedFor(type, query))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .slice(0, query.limit + 1)
  const { data, next_cursor } = page(wanted, query.limit, ({ name }) => [name])
  return { data: await included(ctx, actor, tenantId, data, query), next_cursor }
}

async function included(
  ctx: TypeContext,
  actor: Actor,
  tenantId: string,
  types: EventType[],
  { include }: EventTypeReadQuery,
): Promise<EventType[]> {
  if (include === undefined) return types
  const names = types.map(({ name }) => name)
  const usage = await usageOf(ctx.db, actor, tenantId, names)
  return types.map((type) => {
    const told = usage.get(type.name)
    return told === undefined ? type : { ...type, usage: told }
  })
}

async function readType(ctx: TypeContext, tenantId: string, name: string): Promise<EventType> {
  const catalogued = CATALOGUE.get(name)
  if (catalogued !== undefined) return viewCatalogued(catalogued)
  const row = await findType(ctx.db, tenantId, name)
  if (row !== undefined) return viewOwn(row)
  const seen = await findSeenType(ctx.db, tenantId, name)
  if (seen === undefined) throw eventTypeNotFound()
  return viewSeen(seen)
}

/** The same, if it is one that the caller may see. @throws `event_type_not_found` */
export async function readVisibleType(
  ctx: TypeContext,
  actor: Actor,
  tenantId: string,
  name: string,
  query: EventTypeReadQuery = {},
): Promise<EventType> {
  const type = await readType(ctx, tenantId, name)
  if (!isVisible(actor, type)) throw eventTypeNotFound()
  const [shown = type] = await included(ctx, actor, tenantId, [type], query)
  return shown
}

/** A plugin sees its own types and those that it may read events of. */
function isVisible({ pluginSlug, scopes }: Actor, { name, plugin }: EventType): boolean {
  return scopes === null || plugin === pluginSlug || mayRead(scopes, name)
}

/** Declares a type of the tenant's own, or replaces it. */
export async function putType(
  ctx: TypeContext,
  actor: Actor,
  tenantId: string,
  name: string,
  input: EventTypeInput,
): Promise<{ created: boolean; type: EventType }> {
  if (CATALOGUE.has(name)) throw eventTypeTaken()
  const schema = input.schema == null ? null : normaliseSchema(input.schema)
  const sample = input.sample ?? null
  const errors = checkType(schema, sample)
  if (errors.length > 0) throw eventTypeInvalid(undefined, { errors })
  return ctx.db.transaction().execute(async (trx) => {
    await raiseSubscriptionsVersion(trx, tenantId)
    const before = await findType(trx, tenantId, name)
    if (before !== undefined && before.plugin_id !== null) throw eventTypeTaken()
    if (before === undefined && (await countTypes(trx, tenantId)) >= MAX_TYPES) throw tooManyEventTypes()
    await upsertType(trx, {
      tenantId,
      name,
      description: input.description ?? null,
      sample: sample === null ? null : writeJson(sample),
      schema: schema === null ? null : JSON.stringify(schema),
    })
    await deleteSeenTypes(trx, tenantId, [name])
    const created = before === undefined
    await audit(trx, actor, {
      tenantId,
      action: created ? 'event_type.created' : 'event_type.updated',
      targetKind: 'event_type',
      targetId: name,
    })
    const row = await findType(trx, tenantId, name)
    if (row === undefined) throw new Error('an event type that was just written is not there')
    return { created, type: viewOwn(row) }
  })
}

/** Events of the type that are stored stay. More of them may come, and the first one puts it back as seen. */
export async function removeType(
  ctx: TypeContext,
  actor: Actor,
  tenantId: string,
  name: string,
): Promise<void> {
  if (CATALOGUE.has(name)) throw eventTypeTaken()
  await ctx.db.transaction().execute(async (trx) => {
    await raiseSubscriptionsVersion(trx, tenantId)
    const before = await findType(trx, tenantId, name)
    const seen = await findSeenType(trx, tenantId, name)
    if (before === undefined && seen === undefined) throw eventTypeNotFound()
    if (before !== undefined && before.plugin_id !== null) throw eventTypeTaken()
    await deleteType(trx, tenantId, name)
    await deleteSeenTypes(trx, tenantId, [name])
    await audit(trx, actor, {
      tenantId,
      action: 'event_type.deleted',
      targetKind: 'event_type',
      targetId: name,
    })
  })
}

function checkType(schema: unknown, sample: Record<string, unknown> | null): FieldError[] {
  const problems = schema === null ? [] : checkSchema(schema)
  const errors = problems.map(({ pointer, detail }) => ({ pointer: `/schema${pointer}`, detail }))
  if (sample === null) return errors
  if (Buffer.byteLength(JSON.stringify(sample)) > MAX_SAMPLE_BYTES) {
    errors.push({ pointer: '/sample', detail: `must be at most ${MAX_SAMPLE_BYTES} bytes of JSON` })
  }
  if (schema === null || errors.length > 0) return errors
  return validate(schema as SafeSchema, sample).map(({ pointer, detail }) => ({
    pointer: `/sample${pointer}`,
    detail,
  }))
}

function isAskedFor(
  { name, category, source, description }: EventType,
  { q, category: asked, source: from }: EventTypeQuery,
): boolean {
  if (asked !== undefined && asked !== category) return false
  if (from !== undefined && from !== source) return false
  const part = q?.toLowerCase()
  return part === undefined || name.includes(part) || (description ?? '').toLowerCase().includes(part)
}

function viewCatalogued({ name, description, entity, sample, schema }: CatalogueType): EventType {
  return {
    name,
    category: categoryOf(name),
    source: 'platform',
    plugin: null,
    description,
    entity: { ...entity },
    sample,
    schema: { ...schema },
    created_at: null,
    updated_at: null,
  }
}

function viewOwn({ plugin_id, sample, ...type }: TypeRow): EventType {
  return {
    ...type,
    category: categoryOf(type.name),
    source: plugin_id === null ? 'tenant' : 'plugin',
    entity: null,
    sample: sample as EventType['sample'],
  }
}

function viewSeen({ sample, ...type }: SeenTypeRow): EventType {
  return {
    ...type,
    category: categoryOf(type.name),
    source: 'seen',
    entity: null,
    description: null,
    sample: sample as EventType['sample'],
    schema: null,
    updated_at: null,
  }
}

function categoryOf(name: string): string {
  return name.split('.', 1)[0] ?? name
}
