import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import { pathSegment, segmentFault } from '#lib/path-segment.ts'

t.test('text and numbers are one segment of a path, whatever they have', (t) => {
  const segments: [value: unknown, segment: string][] = [
    ['cus_1', 'cus_1'],
    [42, '42'],
    ['a/b?c#d', 'a%2Fb%3Fc%23d'],
    ['...', '...'],
    ['.hidden', '.hidden'],
    ['%2e', '%252e'],
    [parseJson(Buffer.from('9007199254740993')), '9007199254740993'],
    ['\ud800', '%EF%BF%BD'],
  ]
  for (const [value, segment] of segments) {
    t.equal(segmentFault(value), null)
    t.equal(pathSegment(value), segment)
  }
  t.end()
})

t.test('steps through the path and what is no name are refused', (t) => {
  for (const value of ['.', '..']) t.equal(segmentFault(value), 'Must not be a dot or two.')
  for (const value of [null, undefined, true, {}, [], ['a']]) t.match(segmentFault(value), /text or a number/)
  t.end()
})
