import { isUuid } from '#lib/ids.ts'
import type { FieldError } from '#lib/api/problem.ts'

const SLUG = /^[a-z0-9][a-z0-9-]{0,62}$/
const SLUG_MAX_CHARS = 63

/** Paths below /api/plugins that are not plugins, and what stands for the platform where a plugin is named. */
const RESERVED_SLUGS: ReadonlySet<string> = new Set(['actions', 'events', 'platform'])

/** Tells whether a plugin may have this slug in its path; anything else needs no look into the database. */
export function isSlug(text: string): boolean {
  return SLUG.test(text)
}

/** Why a plugin cannot be registered under this slug; empty when it can. */
export function slugErrors(slug: string): FieldError[] {
  const detail = slugFault(slug)
  return detail === null ? [] : [{ pointer: '/slug', detail }]
}

function slugFault(slug: string): string | null {
  if (slug === '') return 'is needed: the name has no letter or digit to make one of'
  if (!SLUG.test(slug)) {
    return `must be 1 to ${SLUG_MAX_CHARS} lower-case letters, digits and hyphens, and not begin with a hyphen`
  }
  if (RESERVED_SLUGS.has(slug)) return `"${slug}" is reserved: choose another`
  // Elsewhere a plugin is named by its id or its slug, so none may look like the other.
  return isUuid(slug) ? 'must not have the form of a UUID' : null
}

/** `Émail Marketing 2` → `email-marketing-2`; empty when the name has no letter or digit to make one of. */
export function slugOf(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, SLUG_MAX_CHARS + 1)
    .replace(/^-/, '')
    .slice(0, SLUG_MAX_CHARS)
    .replace(/-$/, '')
}
