import { Buffer } from 'node:buffer'
import { randomBytes, scrypt } from 'node:crypto'
import { parseJson } from '#lib/json/index.ts'
import { type Path, readPath } from '#lib/json/path.ts'

export type ErasureValue = string | number | boolean

const SALT_BYTES = 16
const HASH_BYTES = 32

/**
 * Salt and scrypt hash of a value. Somebody who knows the value can check that an erasure was about it; somebody who
 * has only the table cannot try a list of addresses against it cheaply, nor see that two erasures were about the same
 * person. A keyed hash would not outlive the next master key.
 */
export async function hashValue(
  value: ErasureValue,
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<Buffer> {
  const hash = await new Promise<Buffer>((resolve, reject) => {
    scrypt(JSON.stringify(value), salt, HASH_BYTES, (error, key) => (error ? reject(error) : resolve(key)))
  })
  return Buffer.concat([salt, hash])
}

/** Tells whether the body's data has exactly the value at the path. @throws JsonInputError */
export function bodyHas(body: string, path: Path, value: ErasureValue): boolean {
  // Not JSON.parse: it would take 9007199254740993 for 9007199254740992.
  const { data } = parseJson(Buffer.from(body)) as { data: unknown }
  return readPath(data, path) === value
}
