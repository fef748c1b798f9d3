import { Buffer, isUtf8 } from 'node:buffer'
import { Busboy, type BusboyConfig } from '@fastify/busboy'
import { readJson } from '#infra/http/edge.ts'
import { invalidRequest, unsupportedMediaType } from '#infra/http/problems.ts'

/** Any JSON, whatever it is called besides. */
const JSON_TYPE = /^(?:application\/json|[\w.-]+\/[\w.+-]+\+json)\s*(?:;|$)/i
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(?:;|$)/i
const MULTIPART_TYPE = /^multipart\/form-data\s*(?:;|$)/i
const TEXT_TYPE = /^(?:text\/(?:plain|csv|xml)|application\/xml|[\w.-]+\/[\w.+-]+\+xml)\s*(?:;|$)/i
/** The content types that the body of a request to an inlet may have. */
export const BODY_TYPES = [JSON_TYPE, FORM_TYPE, MULTIPART_TYPE, TEXT_TYPE]

/** Says what they may be, where one is of another type. */
export const BODY_TYPES_DETAIL =
  'Send JSON (application/json or any +json), a form (application/x-www-form-urlencoded or multipart/form-data), or ' +
  'text (text/plain, text/csv, text/xml, application/xml or any +xml).'

const CHARSET = /;\s*charset\s*=\s*"?([\w:.-]{1,40})"?/i
const FIELDS_MAX = 1_000
const FILES_MAX = 100
const NAME_MAX_BYTES = 255
/** As large as a body: the route bounds that. */
const VALUE_MAX_BYTES = 1024 * 1024
/** C0, whose members take six bytes in JSON for one, and NUL, which Postgres does not have in text. */
const CONTROL = /(?![\t\n\r\x7f-\x9f])\p{Cc}/u
const CONTROLS = new RegExp(CONTROL, 'gu')
const NO_CONTROL = 'NUL or any other control character but tab and ends of lines'

type Field = string | File
/** A file that came, without its bytes: they are not kept. */
interface File {
  filename: string | null
  content_type: string
  size: number
}

/**
 * Returns what a body says, by its type: JSON as it is, a form as an object of its fields, text as text. A field that
 * comes several times is a list. Undefined: there is none.
 *
 * @throws `invalid_json`, `invalid_request`, `unsupported_media_type`
 */
export async function readHookBody(type: string | undefined, bytes: Buffer): Promise<unknown> {
  if (bytes.length === 0) return undefined
  if (type === undefined) throw unsupportedMediaType(BODY_TYPES_DETAIL)
  if (JSON_TYPE.test(type)) return readJson(bytes, { dataMembers: 'all' })
  if (FORM_TYPE.test(type)) return readForm(decode(type, bytes))
  if (MULTIPART_TYPE.test(type)) return gather(await readMultipart(type, bytes))
  if (TEXT_TYPE.test(type)) return checked('', decode(type, bytes))
  throw unsupportedMediaType(BODY_TYPES_DETAIL)
}

function readForm(text: string): Record<string, unknown> {
  const fields = [...new URLSearchParams(text)]
  if (fields.length > FIELDS_MAX) throw invalidBody('', `must have at most ${FIELDS_MAX} fields`)
  return gather(fields)
}

function gather(fields: readonly (readonly [string, Field])[]): Record<string, unknown> {
  const gathered = new Map<string, Field | Field[]>()
  for (const [sentName, sent] of fields) {
    const name = sentName.toWellFormed()
    if (name === '__proto__') throw invalidBody('', 'must not have a field __proto__')
    const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (CONTROL.test(name)) throw invalidBody('', `must not have ${NO_CONTROL} in the name of a field`)
    if (Buffer.byteLength(name) > NAME_MAX_BYTES) {
      throw invalidBody('', `must have names of at most ${NAME_MAX_BYTES} bytes`)
    }
    const value = typeof sent === 'string' ? checked(pointer, sent) : sent
    const known = gathered.get(name)
    if (known === undefined) gathered.set(name, value)
    else if (Array.isArray(known)) known.push(value)
    else gathered.set(name, [known, value])
  }
  return Object.fromEntries(gathered)
}

function readMultipart(type: string, bytes: Buffer): Promise<[string, Field][]> {
  return new Promise((resolve, reject) => {
    const fields: [string, Field][] = []
    const refuse = (why: string): void => reject(invalidBody('', why))
    const limits: BusboyConfig['limits'] = {
      fields: FIELDS_MAX,
      files: FILES_MAX,
      parts: FIELDS_MAX + FILES_MAX,
      // Larger ones are refused below, not cut.
      fieldNameSize: NAME_MAX_BYTES + 1,
      fieldSize: VALUE_MAX_BYTES,
      // What is beyond these would be left out in silence, and the part with it.
      headerPairs: VALUE_MAX_BYTES,
      headerSize: VALUE_MAX_BYTES,
    }
    let form: InstanceType<typeof Busboy>
    try {
      form = new Busboy({ headers: { 'content-type': type }, limits })
    } catch (error) {
      refuse(`is not multipart/form-data that can be read: ${(error as Error).message}`)
      return
    }
    form.on('field', (name: string | undefined, value, nameCut, valueCut) => {
      if (nameCut || valueCut) refuse(`must have names of at most ${NAME_MAX_BYTES} bytes`)
      else fields.push([name ?? '', value])
    })
    form.on('file', (name: string | undefined, stream, filename: string | undefined, _encoding, content) => {
      const file: File = { filename: plain(filename) ?? null, content_type: plain(content) ?? '', size: 0 }
      fields.push([name ?? '', file])
      stream.on('data', (chunk: Buffer) => (file.size += chunk.length))
      stream.on('error', (error) => refuse(`cannot be read: ${error.message}`))
    })
    const tooMany = (): void => refuse(`must have at most ${FIELDS_MAX} fields and ${FILES_MAX} files`)
    form.on('partsLimit', tooMany).on('fieldsLimit', tooMany).on('filesLimit', tooMany)
    form.on('error', (error) => refuse(`cannot be read: ${(error as Error).message}`))
    form.on('finish', () => resolve(fields))
    form.end(bytes)
  })
}

/** Text in the charset that the type names, UTF-8 if it names none. */
function decode(type: string, bytes: Buffer): string {
  const charset = CHARSET.exec(type)?.[1]?.toLowerCase() ?? 'utf-8'
  if (charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii') {
    if (!isUtf8(bytes)) throw invalidBody('', 'must be UTF-8')
    return bytes.toString()
  }
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes)
  } catch {
    throw invalidBody('', `must be text in the charset ${charset}, or say another one`)
  }
}

function plain(text: string | undefined): string | undefined {
  return text?.replaceAll(CONTROLS, '').toWellFormed()
}

/** Postgres has neither NUL nor half a surrogate pair in text. */
function checked(pointer: string, text: string): string {
  if (CONTROL.test(text)) throw invalidBody(pointer, `must not contain ${NO_CONTROL}`)
  return text.toWellFormed()
}

function invalidBody(pointer: string, detail: string): Error {
  return invalidRequest(undefined, { errors: [{ pointer: pointer === '' ? '/' : pointer, detail }] })
}
