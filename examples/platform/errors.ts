/** What the platform answers when it cannot do what was asked: `{ "error": { "code", "message" } }`. */
export class PlatformError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.name = 'PlatformError'
    this.status = status
    this.code = code
  }
}

export const notFound = (what: string): PlatformError =>
  new PlatformError(404, 'not_found', `There is no such ${what}.`)

export const conflict = (code: string, message: string): PlatformError =>
  new PlatformError(409, code, message)

export const unprocessable = (code: string, message: string): PlatformError =>
  new PlatformError(422, code, message)
