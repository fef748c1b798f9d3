import { WEBHOOK_SCHEMA } from '../../../src/lib/flow/index.ts'
import type { SafeSchema } from '../forms/schema.ts'
import type { Members } from '../flow/graph.ts'
import { words } from '../i18n/words.svelte.ts'

const labels = words({
  en: {
    verify: 'Verify senders',
    scheme: 'Signs as',
    connection: 'Connection with the secret',
    tolerance_seconds: 'Seconds that its clock may be off',
    topic: 'Topic (WebSub)',
    header: 'Header of the signature',
    algorithm: 'Algorithm',
    encoding: 'Encoding',
    prefix: 'Before the signature',
    signed: 'What is signed',
    timestamp_header: 'Header of the time',
    id_header: 'Header of the delivery’s id',
    answer: 'Answer',
    status: 'Status',
    content_type: 'Content type',
    body: 'Text',
    headers: 'More headers to read',
  },
  de: {
    verify: 'Absender prüfen',
    scheme: 'Signiert wie',
    connection: 'Verbindung mit dem Geheimnis',
    tolerance_seconds: 'Sekunden, die seine Uhr abweichen darf',
    topic: 'Thema (WebSub)',
    header: 'Kopfzeile der Signatur',
    algorithm: 'Algorithmus',
    encoding: 'Kodierung',
    prefix: 'Vor der Signatur',
    signed: 'Was signiert wird',
    timestamp_header: 'Kopfzeile der Zeit',
    id_header: 'Kopfzeile der Zustellungskennung',
    answer: 'Antwort',
    status: 'Status',
    content_type: 'Inhaltstyp',
    body: 'Text',
    headers: 'Weitere Kopfzeilen zum Lesen',
  },
})

/** Members of a webhook trigger that the form edits by their schema. */
export const WEBHOOK_FIELDS = Object.keys(WEBHOOK_SCHEMA.properties)

/** The schema of those members, in words of the reader's language. */
export function webhookSchema(): SafeSchema {
  return titled(WEBHOOK_SCHEMA)
}

export function webhookMembers(members: Members): Record<string, unknown> {
  return Object.fromEntries(
    WEBHOOK_FIELDS.flatMap((name) => (Object.hasOwn(members, name) ? [[name, members[name]]] : [])),
  )
}

function titled({ description: _, ...schema }: SafeSchema): SafeSchema {
  if (schema.properties === undefined) return schema
  const properties = Object.entries(schema.properties).map(([name, property]) => {
    const title = (labels as Record<string, string | undefined>)[name]
    return [name, { ...titled(property), ...(title !== undefined && { title }) }]
  })
  return { ...schema, properties: Object.fromEntries(properties) as Record<string, SafeSchema> }
}
