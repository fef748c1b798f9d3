import type { ActorKind } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import type { FlowContext } from '../context.ts'
import { redactedText } from '../definition/definition.ts'
import { flowVersionNotFound } from '../errors.ts'
import { findFlow } from '../repository.ts'
import { found, type FlowRef } from '../lifecycle/revision.ts'
import { countLive, findVersion, selectVersions, type VersionRow } from './repository.ts'
import { mayEdit } from '../view.ts'

/** Its publisher; null for what was published before that was kept. */
interface VersionAuthor {
  kind: ActorKind
  id: string | null
  name: string | null
}

export interface VersionSummary {
  version: number
  is_published: boolean
  running: number
  created_at: Date
  created_by: VersionAuthor | null
  note: string | null
}

const MAX_VERSION = 2 ** 31 - 1

export async function listVersions(
  ctx: FlowContext,
  { tenantId, id }: FlowRef,
  { limit, cursor }: { limit: number; cursor?: string },
): Promise<{ data: VersionSummary[]; next_cursor: string | null }> {
  const before = cursor === undefined ? null : decodeCursor(cursor, ['integer'])?.[0]
  if (before === undefined) throw invalidCursor()
  const { published_version } = found(await findFlow(ctx.db, tenantId, id))
  const asked = { before: before === null ? null : toVersion(before as number), limit: limit + 1 }
  const rows = await selectVersions(ctx.db, tenantId, id, asked)
  const live = new Map((await countLive(ctx.db, tenantId, id)).map(({ version, count }) => [version, count]))
  const versions = rows.map((row) => ({
    version: row.version,
    is_published: row.version === published_version,
    running: live.get(row.version) ?? 0,
    created_at: row.created_at,
    created_by: authorOf(row),
    note: row.note,
  }))
  return page(versions, limit, ({ version }) => [version])
}

function authorOf({
  created_by_kind: kind,
  created_by_id: id,
  created_by_name: name,
}: Pick<VersionRow, 'created_by_kind' | 'created_by_id' | 'created_by_name'>): VersionAuthor | null {
  return kind === null ? null : { kind, id, name }
}

/** The nearest number that a version can have: a cursor may hold any. */
function toVersion(number: number): number {
  return Math.max(0, Math.min(number, MAX_VERSION))
}

/** @throws `flow_not_found`, `flow_version_not_found` */
export async function readVersion(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: FlowRef,
  version: number,
) {
  const { published_version } = found(await findFlow(ctx.db, tenantId, id))
  const row = await findVersion(ctx.db, tenantId, id, version)
  if (row === undefined) throw flowVersionNotFound()
  return {
    flow_id: id,
    version,
    is_published: version === published_version,
    created_at: row.created_at,
    created_by: authorOf(row),
    note: row.note,
    definitionText: mayEdit(actor) ? row.definition : redactedText(row.definition),
  }
}
