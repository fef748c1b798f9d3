import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import type { JsonErrorCode, JsonLimits } from '#lib/json/index.ts'
import {
  canonicalNumber,
  isRawNumber,
  JsonInputError,
  numberOf,
  parseJson,
  toPointer,
  withPlainNumbers,
} from '#lib/json/index.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

const MIB = 1024 * 1024

function read(text: string | Buffer, limits?: JsonLimits): unknown {
  return parseJson(Buffer.from(text as string), limits)
}

function refusal(text: string | Buffer, limits?: JsonLimits): JsonInputError {
  try {
    read(text, limits)
  } catch (error) {
    if (error instanceof JsonInputError) return error
    throw error
  }
  throw new Error(`accepted: ${String(text).slice(0, 80)}`)
}

t.test('whatever JSON.stringify makes comes through unchanged', (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
      const text = JSON.stringify(value)
      if (text.includes('__proto__') || text.includes('\\u0000') || text.includes('\0')) return
      t.equal(JSON.stringify(read(text)), text)
      t.equal(JSON.stringify(read(JSON.stringify(value, null, 2))), text)
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('bytes that JSON.parse refuses are refused, never with another error', (t) => {
  const token = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '1',
    '-',
    '1e5',
    'null',
    '\\',
    ' ',
    '\\u',
  )
  const text = fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join(''))
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        fc.string(),
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      ),
      (input) => {
        let isJson = true
        try {
          JSON.parse(String(input))
        } catch {
          isJson = false
        }
        if (!isJson) t.ok(refusal(input))
        if (!isJson && typeof input === 'string') refusal(input, { maxDepth: 2 })
      },
    ),
    { numRuns: 1000 },
  )
  t.end()
})

t.test('each refusal has its code and place', (t) => {
  const cases: [string | Buffer, JsonErrorCode, string | null][] = [
    ['', 'invalid_json', null],
    ['{"a":01}', 'invalid_json', null],
    ['{"a":NaN}', 'invalid_json', null],
    ['\ufeff{}', 'invalid_json', null],
    [Buffer.from([0x22, 0xff, 0x22]), 'invalid_utf8', null],
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'invalid_utf8', null],
    ['{"__proto__":1}', 'forbidden_key', '/__proto__'],
    ['{"x":[{"\\u005f_proto__":1}]}', 'forbidden_key', '/x/0/__proto__'],
    ['{"\\u005F\\u005fproto\\u005f_":{}}', 'forbidden_key', '/__proto__'],
    ['{"a":{"k":1,"k":2}}', 'duplicate_key', '/a/k'],
    ['{"a":{"k":1,"\\u006b":2}}', 'duplicate_key', '/a/k'],
    ['{"a":[0.10000000000000000055],"a":1}', 'duplicate_key', '/a'],
    ['{"a":1,"a":{"b":[1]}}', 'duplicate_key', '/a'],
    ['{"a":\0}', 'nul_character', null],
    ['{"a":["x","y\\u0000"]}', 'nul_character', '/a/1'],
    ['{"a":{"k\\u0000":1}}', 'nul_character', '/a'],
    ['"\\ud83d"', 'lone_surrogate', ''],
    ['{"a":["\\ud83d\\ude00","\\ude00\\ud83d"]}', 'lone_surrogate', '/a/1'],
    ['{"a~/b":1e10001}', 'number_out_of_range', '/a~0~1b'],
    ['[1,-1E-10001]', 'number_out_of_range', '/1'],
    [`[${'1'.repeat(1001)}]`, 'number_out_of_range', '/0'],
    ['[1e99999999999999999999]', 'number_out_of_range', '/0'],
    ['[1,[2,[3]]]', 'too_deep', '/1/1'],
    ['{"a":[{"b":', 'too_deep', '/a/0'],
  ]
  for (const [text, code, pointer] of cases) {
    const error = refusal(text, code === 'too_deep' ? { maxDepth: 2 } : undefined)
    t.match(error, { code, pointer }, String(text).slice(0, 50))
    t.ok(error.detail)
  }
  t.end()
})

t.test('what only looks suspicious is accepted', (t) => {
  t.same(read('{"a":"__proto__","b":"\\\\u0000","c":"\\ud83d\\ude00"}'), {
    a: '__proto__',
    b: '\\u0000',
    c: '😀',
  })
  t.same(read('{"a":{"k":1},"b":{"k":1},"c":[{"k":1},{"k":1}]}'), {
    a: { k: 1 },
    b: { k: 1 },
    c: [{ k: 1 }, { k: 1 }],
  })
  t.same(read('{"a\\":":"\\\\","b":"\\\\\\""}'), { 'a":': '\\', b: '\\"' })
  t.same(read('{"constructor":{"prototype":1},"toString":2}'), { constructor: { prototype: 1 }, toString: 2 })
  t.equal(Object.getPrototypeOf(read('{"a":"__proto__"}')), Object.prototype)
  t.end()
})

t.test('numbers that a double cannot carry keep their digits, all others are plain numbers', (t) => {
  const kept = [
    '9007199254740993',
    '-123456789012345678901234567890',
    '0.1000000000000000055',
    '1e400',
    '1E-400',
    '1.00000000000000000001e10',
  ]
  for (const source of kept) {
    t.equal(JSON.stringify(read(source)), source)
    t.equal(
      JSON.stringify(read(`{"a":["x",${source}],"b":{"c":${source}}}`)),
      `{"a":["x",${source}],"b":{"c":${source}}}`,
    )
    t.ok(isRawNumber(read(source)))
  }
  const plain: [string, number][] = [
    ['1.0', 1],
    ['1E2', 100],
    ['1.50e+1', 15],
    ['-0', -0],
    ['0e5', 0],
    ['0.00000000000000000000', 0],
    ['9007199254740992', 9007199254740992],
    ['100000000000000000000', 1e20],
    ['0.30000000000000004', 0.1 + 0.2],
    ['5e-324', 5e-324],
  ]
  for (const [source, value] of plain) t.strictSame(read(`[${source}]`), [value], source)
  t.end()
})

t.test('where their text is asked for, numbers keep it', (t) => {
  const text = '{"a":[1.0,1E2,-0,24.90,0.0000001,1e400],"b":{"c":9007199254740993,"d":1.5},"e":10}'
  t.equal(JSON.stringify(read(text, { numbers: 'text' })), text)
  t.strictSame(read('[1.5,10,0,-7,0.5]', { numbers: 'text' }), [1.5, 10, 0, -7, 0.5])
  t.equal(JSON.stringify(read('1.10', { numbers: 'text' })), '1.10')
  t.equal(refusal('{"a":1.10,"a":2}', { numbers: 'text' }).code, 'duplicate_key')
  t.end()
})

t.test('spellings of one number have one form, other numbers another', (t) => {
  const form = (source: string): string => JSON.stringify(canonicalNumber(read(source, { numbers: 'text' })))
  t.equal(form('1.10'), '1.1')
  t.equal(form('50e-1'), '5')
  t.equal(form('-0.0'), '0')
  t.equal(form('9007199254740993.0'), form('9007199254740993'))
  t.equal(form('1e400'), form('10E399'))
  t.not(form('9007199254740993'), form('9007199254740992'))
  t.equal(canonicalNumber('1.10'), '1.10')
  t.end()
})

t.test('a JavaScript number takes the place of every text that it holds', (t) => {
  const value = withPlainNumbers(read('{"a":[1.10,{"b":-0}],"c":9007199254740993}', { numbers: 'text' }))
  t.equal(JSON.stringify(value), '{"a":[1.1,{"b":0}],"c":9007199254740993}')
  t.end()
})

t.test('every number means the same after the journey', (t) => {
  const digits = fc.stringMatching(/^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?$/)
  fc.assert(
    fc.property(digits, (source) => {
      t.equal(exact(JSON.stringify(read(source))), exact(source))
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('numberOf reads plain and raw numbers alike', (t) => {
  t.equal(numberOf(read('9007199254740993')), 9007199254740992)
  t.equal(numberOf(1.5), 1.5)
  t.equal(numberOf(read('1e400')), Number.POSITIVE_INFINITY)
  for (const value of ['1', null, true, {}, { rawJSON: '1' }, []]) t.equal(numberOf(value), null)
  t.end()
})

t.test('a pointer escapes what RFC 6901 escapes', (t) => {
  t.equal(toPointer([]), '')
  t.equal(toPointer(['a', 0, 'b/c', 'd~e', '']), '/a/0/b~1c/d~0e/')
  t.end()
})

t.test('sixty-four levels pass, one more does not', (t) => {
  const nest = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
  t.doesNotThrow(() => read(nest(64)))
  t.equal(refusal(nest(65)).code, 'too_deep')
  t.doesNotThrow(() => read(`[${Array(100).fill('[[]]').join()}]`))
  t.doesNotThrow(() => read(JSON.stringify('['.repeat(100))))
  t.end()
})

t.test('hostile bodies of 8 MiB are answered before anybody notices', (t) => {
  const bodies: Record<string, [string, JsonErrorCode | null]> = {
    'a million levels': ['['.repeat(1e6) + ']'.repeat(1e6), 'too_deep'],
    'only opening brackets': ['['.repeat(8 * MIB), 'too_deep'],
    'nested objects': ['{"a":'.repeat(1.5 * MIB), 'too_deep'],
    'one long number': [`[${'1'.repeat(8 * MIB)}]`, 'number_out_of_range'],
    backslashes: [`["${'\\\\'.repeat(4 * MIB)}"]`, null],
    'escaped quotes': [`["${'\\"'.repeat(4 * MIB)}"]`, null],
    'backslashes without end': [`["${'\\'.repeat(8 * MIB)}`, 'invalid_json'],
    'zeros before a one': [`[${'1.'.padEnd(999, '0')}1${`,${'1.'.padEnd(999, '0')}1`.repeat(8000)}]`, null],
  }
  for (const [name, [text, code]] of Object.entries(bodies)) {
    const body = Buffer.from(text)
    const spent = cpuTimer()
    if (code === null) t.doesNotThrow(() => parseJson(body))
    else t.equal(refusal(body).code, code, name)
    const took = spent()
    t.ok(took < MAX_MS, `${name}: ${Math.round(took)} ms`)
  }
  t.end()
})

/** A decimal as a fraction in lowest form of powers of ten, by big integers. */
function exact(source: string): string {
  const [, sign = '', whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source) ?? []
  let digits = BigInt(whole + fraction)
  let exponent = Number(power) - fraction.length
  if (digits === 0n) return '0'
  while (digits % 10n === 0n) {
    digits /= 10n
    exponent++
  }
  return `${sign}${digits}e${exponent}`
}
