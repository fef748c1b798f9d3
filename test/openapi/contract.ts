import type { IncomingHttpHeaders } from 'node:http'
import addFormats from 'ajv-formats'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import {
  type NamedOperation,
  type OpenApiDocument,
  type Operation,
  operationsOf,
  type Schema,
} from '#test/support/openapi.ts'

/** A request and its answer, as they went over the wire. */
export interface Exchange {
  method: string
  /** With the query. */
  url: string
  headers: IncomingHttpHeaders
  body: Buffer
  status: number
  answerHeaders: IncomingHttpHeaders
  answer: Buffer
}

export interface Checked {
  operationId: string | null
  /** Differences from the document, one sentence each. */
  violations: string[]
}

/** Headers of the transport and of clients, which are no business of an operation. */
const ANY_REQUEST = new Set([
  ...['accept', 'accept-encoding', 'accept-language', 'authorization', 'connection', 'content-length'],
  ...['content-type', 'host', 'keep-alive', 'sec-fetch-mode', 'transfer-encoding', 'user-agent'],
  // fetch adds them to conditional requests.
  ...['cache-control', 'pragma'],
])
const ANY_ANSWER = new Set([
  ...['connection', 'content-length', 'content-type', 'date', 'keep-alive', 'transfer-encoding'],
  'x-content-type-options',
])
const COERCED = { integer: Number, number: Number, boolean: (text: string) => text === 'true' }

export type Parameter = NonNullable<Operation['parameters']>[number]
type Content = NonNullable<Operation['responses'][string]['content']>

/**
 * Checks exchanges against an OpenAPI document, by the document alone: nothing of the service is used. Answers may
 * have no members but those that are declared, whether or not their schemas are closed.
 */
export class Contract {
  readonly operations: NamedOperation[]
  readonly #document: OpenApiDocument
  readonly #ajv = { request: newAjv(), answer: newAjv() }
  readonly #compiled = new Map<string, ValidateFunction>()

  constructor(document: OpenApiDocument) {
    this.#document = document
    this.operations = operationsOf(document)
    this.#ajv.request.addSchema(document, 'document')
    this.#ajv.answer.addSchema(closedDocument(document), 'document')
  }

  check(exchange: Exchange): Checked {
    const { pathname, searchParams } = new URL(exchange.url, 'http://proxy.test')
    const found = this.find(exchange.method, pathname)
    if (found === null) {
      return { operationId: null, violations: [`${exchange.method} ${pathname} is not declared`] }
    }
    const { name, operation } = found
    const violations = [
      ...this.#checkParameters(found, pathname, searchParams, exchange.headers),
      ...this.#checkRequestBody(found, exchange),
      ...this.checkAnswer(found, exchange),
    ]
    return {
      operationId: operation.operationId ?? null,
      violations: violations.map((violation) => `${name}: ${violation}`),
    }
  }

  /** The operation of a path; those without parameters come first. */
  find(method: string, pathname: string): NamedOperation | null {
    const fits = this.operations.filter(
      (operation) => operation.method.toUpperCase() === method && patternOf(operation.path).test(pathname),
    )
    const parameters = ({ path }: NamedOperation): number => path.split('{').length
    return fits.toSorted((a, b) => parameters(a) - parameters(b))[0] ?? null
  }

  parametersOf({ operation }: NamedOperation): Parameter[] {
    return (operation.parameters ?? []).map((parameter) => this.#resolve<Parameter>(parameter))
  }

  pathValues({ path, pathParameters }: NamedOperation, pathname: string): [name: string, value: string][] {
    const values = patternOf(path).exec(pathname)?.slice(1) ?? []
    return pathParameters.map((name, index) => [name, decodeURIComponent(values[index] ?? '')])
  }

  #checkParameters(
    found: NamedOperation,
    pathname: string,
    query: URLSearchParams,
    headers: IncomingHttpHeaders,
  ): string[] {
    const declared = this.parametersOf(found)
    const given = [
      ...this.pathValues(found, pathname).map(([name, value]) => ['path', name, value]),
      ...[...query].map(([name, value]) => ['query', name, value]),
      ...Object.entries(headers)
        .filter(([name]) => !ANY_REQUEST.has(name))
        .map(([name, value]) => ['header', name, String(value)]),
    ] as [string, string, string][]
    const isGiven = (parameter: Parameter): boolean =>
      given.some(([place, name]) => place === parameter.in && name === parameter.name.toLowerCase())
    return [
      ...declared
        .filter((parameter) => parameter.required === true && !isGiven(parameter))
        .map((parameter) => `the ${parameter.in} parameter ${parameter.name} is required`),
      ...given.flatMap(([place, name, value]) => {
        const parameter = declared.find(
          (one) => one.in === place && (place === 'header' ? one.name.toLowerCase() : one.name) === name,
        )
        if (parameter === undefined) return [`the ${place} parameter ${name} is not declared`]
        return this.#validate('request', parameter.schema, coerced(value, parameter.schema)).map(
          (error) => `the ${place} parameter ${name} ${error}`,
        )
      }),
    ]
  }

  #checkRequestBody({ operation }: NamedOperation, { headers, body }: Exchange): string[] {
    const { requestBody } = operation
    if (body.length === 0) return requestBody?.required === true ? ['the body is required'] : []
    if (requestBody === undefined) return ['a body is not declared']
    return this.#checkContent('request', requestBody.content, headers['content-type'], body)
  }

  /** What of an answer the operation does not declare, whatever it was asked. */
  checkAnswer(
    { operation }: Pick<NamedOperation, 'operation'>,
    { status, answerHeaders, answer }: Pick<Exchange, 'status' | 'answerHeaders' | 'answer'>,
  ): string[] {
    const response = operation.responses[status]
    if (response === undefined) return [`the status ${status} is not declared`]
    const declared = response.headers ?? {}
    const undeclared = Object.keys(answerHeaders).filter(
      (name) => !ANY_ANSWER.has(name) && declared[name] === undefined,
    )
    const wrong = Object.entries(declared).flatMap(([name, header]) => {
      const value = answerHeaders[name]
      if (value === undefined) return []
      const { schema } = this.#resolve<{ schema: Schema }>(header)
      // Set-Cookie alone comes as a list.
      return [value]
        .flat()
        .flatMap((one) => this.#validate('answer', schema, one))
        .map((error) => `${status}: the header ${name} ${error}`)
    })
    return [
      ...undeclared.map((name) => `${status}: the header ${name} is not declared`),
      ...wrong,
      ...this.#checkAnswerBody(status, response.content, answerHeaders['content-type'], answer),
    ]
  }

  #checkAnswerBody(status: number, content: Content | undefined, type: string | undefined, body: Buffer) {
    if (content === undefined) return body.length === 0 ? [] : [`${status}: a body is not declared`]
    return this.#checkContent('answer', content, type, body).map((error) => `${status}: ${error}`)
  }

  #checkContent(
    direction: 'request' | 'answer',
    content: Content,
    type: string | undefined,
    body: Buffer,
  ): string[] {
    const [mediaType = ''] = (type ?? '').split(';')
    const media = content[mediaType]
    if (media === undefined) return [`the media type "${mediaType}" is not declared`]
    const text = body.toString()
    const value: unknown = /\bjson$/.test(mediaType) ? JSON.parse(text) : text
    return this.#validate(direction, media.schema ?? {}, value)
  }

  #validate(direction: 'request' | 'answer', schema: Schema, value: unknown): string[] {
    const ajv = this.#ajv[direction]
    const local = JSON.parse(
      JSON.stringify(direction === 'answer' ? closed(schema) : schema).replaceAll('"#/', '"document#/'),
    ) as Schema
    const key = `${direction} ${JSON.stringify(local)}`
    const validate = this.#compiled.get(key) ?? ajv.compile(local)
    this.#compiled.set(key, validate)
    if (validate(value)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath} ${message ?? ''} ${JSON.stringify(params)}`,
    )
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- what a component of that kind is
  #resolve<T>(given: object): T {
    const { $ref } = given as { $ref?: string }
    if ($ref === undefined) return given as T
    const [, , kind = '', name = ''] = $ref.split('/')
    const found = (this.#document.components as unknown as Record<string, Record<string, T>>)[kind]?.[name]
    if (found === undefined) throw new Error(`${$ref} leads nowhere`)
    return found
  }
}

function newAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false })
  addFormats.default(ajv)
  return ajv
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '([^/]+)')}$`)
}

function coerced(text: string, schema: Schema): unknown {
  const read = COERCED[schema['type'] as keyof typeof COERCED] as ((text: string) => unknown) | undefined
  return read === undefined ? text : read(text)
}

function closedDocument({ components, ...document }: OpenApiDocument): object {
  const schemas = Object.entries(components.schemas).map(([name, schema]) => [name, closed(schema)])
  return { ...document, components: { ...components, schemas: Object.fromEntries(schemas) as object } }
}

/** The schema with `additionalProperties: false` wherever it lists members and does not say that there are others. */
function closed(schema: Schema): Schema {
  const found = Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => [keyword, closedPart(keyword, value)]),
  ) as Schema
  const isOpen = found['properties'] !== undefined && found['additionalProperties'] === undefined
  return isOpen ? { ...found, additionalProperties: false } : found
}

function closedPart(keyword: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (keyword === 'anyOf' || keyword === 'oneOf') return (value as Schema[]).map(closed)
  if (keyword === 'items' || keyword === 'additionalProperties') return closed(value as Schema)
  if (keyword !== 'properties') return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, closed(part as Schema)]))
}
