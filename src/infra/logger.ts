import { type DestinationStream, type Logger, pino } from 'pino'

/** Values under these names never reach the log, whoever logs the object. */
const REDACTED = ['authorization', 'secret', 'token', 'password', 'key', 'body', 'payload', 'data', 'config']
const MAX_CAUSES = 3

/** JSON lines on standard output. Request and event bodies are never logged. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: serializeError, error: serializeError },
    redact: {
      paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[redacted]',
    },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

export interface SerializedError {
  type: string
  message: string
  code?: string
  stack?: string
  cause?: SerializedError
}

/**
 * What of an error may be logged. pg's `detail`, `where` and `parameters` carry row values, and so do the messages
 * of its class 22 ("invalid input syntax for type uuid: …").
 */
export function serializeError(error: unknown, depth = 0): SerializedError {
  if (!(error instanceof Error)) return { type: typeof error, message: messageOf(error) }
  const code: unknown = Reflect.get(error, 'code')
  const message = quotesValues(error) ? `data exception ${String(code)}` : error.message
  return {
    type: error.name,
    message,
    ...(typeof code === 'string' && { code }),
    ...(error.stack !== undefined && { stack: error.stack.replace(error.message, () => message) }),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: serializeError(error.cause, depth + 1) }),
  }
}

function messageOf(value: unknown): string {
  if (typeof value === 'string') return value
  const message: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, 'message') : undefined
  return typeof message === 'string' ? message : 'not an Error'
}

function quotesValues(error: Error): boolean {
  const code: unknown = Reflect.get(error, 'code')
  return 'severity' in error && typeof code === 'string' && code.startsWith('22')
}
