import { join, resolve } from 'node:path'
import openapiTypes, { astToString, type OpenAPI3 } from 'openapi-typescript'
import ts from 'typescript'
import type { OpenApiDocument } from '#test/support/openapi.ts'

const FOLDER = resolve(import.meta.dirname)
const OPTIONS: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  allowImportingTsExtensions: true,
  lib: ['lib.esnext.d.ts', 'lib.dom.d.ts'],
  types: [],
}
const HEAD = [
  "import createClient from 'openapi-fetch'",
  "import type { paths } from './api.ts'",
  "const client = createClient<paths>({ baseUrl: 'http://127.0.0.1:3000' })",
  // openapi-fetch infers bodies, which lets members pass that are not declared; a variable of the type does not.
  'type Body<Path extends keyof paths, Method extends keyof paths[Path], Type extends string> =' +
    ' paths[Path][Method] extends { requestBody?: { content: Record<Type, infer Found> } } ? Found : never',
]

/** The types that openapi-typescript makes of the document, as a user gets them who sets no option. */
export async function typesOf(document: OpenApiDocument): Promise<string> {
  return astToString(await openapiTypes(structuredClone(document) as unknown as OpenAPI3))
}

/** Compiles statements that use openapi-fetch's `client` against the types. @returns the errors of each, in order */
export function compileCalls(types: string, calls: string[]): string[][] {
  const files = new Map([
    [join(FOLDER, 'api.ts'), types],
    [join(FOLDER, 'calls.ts'), [...HEAD, ...calls].join('\n')],
  ])
  const host = ts.createCompilerHost(OPTIONS)
  const onDisk = { ...host }
  host.fileExists = (path) => files.has(path) || onDisk.fileExists(path)
  host.readFile = (path) => files.get(path) ?? onDisk.readFile(path)
  host.getSourceFile = (path, options, ...rest) => {
    const text = files.get(path)
    return text === undefined
      ? onDisk.getSourceFile(path, options, ...rest)
      : ts.createSourceFile(path, text, options)
  }
  const program = ts.createProgram([...files.keys()], OPTIONS, host)
  const errors: string[][] = calls.map(() => [])
  for (const { file, start = 0, messageText } of ts.getPreEmitDiagnostics(program)) {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n')
    const line = file?.text.slice(0, start).split('\n').length ?? 0
    const found = file?.fileName.endsWith('/calls.ts') === true ? errors[line - 1 - HEAD.length] : undefined
    if (found === undefined) throw new Error(`${file?.fileName ?? ''}:${line}: ${message}`)
    found.push(message)
  }
  return errors
}
