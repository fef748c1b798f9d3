export type JsonErrorCode =
  | 'invalid_utf8'
  | 'invalid_json'
  | 'too_deep'
  | 'forbidden_key'
  | 'duplicate_key'
  | 'nul_character'
  | 'lone_surrogate'
  | 'number_out_of_range'
  | 'too_large'

/** The refusal of a body: a code, the place as a JSON pointer where one is known, and what to do. */
export class JsonInputError extends Error {
  override readonly name = 'JsonInputError'
  readonly code: JsonErrorCode
  readonly pointer: string | null
  readonly detail: string

  constructor(code: JsonErrorCode, pointer: string | null, detail: string, options?: ErrorOptions) {
    super(pointer === null ? detail : `${pointer || 'document'}: ${detail}`, options)
    this.code = code
    this.pointer = pointer
    this.detail = detail
  }
}

/** A JSON pointer (RFC 6901): '' is the whole document. */
export function toPointer(path: readonly (string | number)[]): string {
  let pointer = ''
  for (const segment of path) pointer += `/${String(segment).replaceAll('~', '~0').replaceAll('/', '~1')}`
  return pointer
}
