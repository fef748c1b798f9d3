import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { isEventPattern, isEventType, isPlainEventType, matchesPattern } from '#lib/event-pattern.ts'

t.test('an event type is segments with dots between them, a plain one lower-case', (t) => {
  for (const text of ['product.created', 'a', 'order_2.line.added', 'x'.repeat(128)]) {
    t.ok(isEventType(text), text)
    t.ok(isPlainEventType(text), text)
  }
  for (const text of ['Product.created', 'a-b', 'com.github.pull-request.Opened', 'com/example/Thing']) {
    t.ok(isEventType(text), text)
    t.notOk(isPlainEventType(text), text)
  }
  for (const text of ['', '.', 'a.', '.a', 'a..b', 'a b', 'a.*', '*', 'a\n', 'a:b', 'ä.b', 'x'.repeat(129)]) {
    t.notOk(isEventType(text), JSON.stringify(text))
  }
  t.end()
})

t.test('a pattern is a type, everything below a prefix, or everything', (t) => {
  for (const text of ['product.created', 'product.*', 'a.b.*', '*', 'com.Acme/x.*'])
    t.ok(isEventPattern(text), text)
  for (const text of ['', '.*', '**', '*.created', 'a.*.b', 'a*', 'a.**', 'A*', `${'x'.repeat(127)}.*`]) {
    t.notOk(isEventPattern(text), JSON.stringify(text))
  }
  t.end()
})

t.test('a prefix matches any depth below it and nothing beside it', (t) => {
  t.ok(matchesPattern('product.*', 'product.created'))
  t.ok(matchesPattern('product.*', 'product.variant.created'))
  t.notOk(matchesPattern('product.*', 'product'))
  t.notOk(matchesPattern('product.*', 'products.created'))
  t.ok(matchesPattern('*', 'anything.at.all'))
  t.ok(matchesPattern('product.created', 'product.created'))
  t.notOk(matchesPattern('product.created', 'product.created.twice'))
  t.end()
})

t.test('hostile text is answered at once', (t) => {
  const spent = cpuTimer()
  t.notOk(isEventType(`${'a.'.repeat(5e5)}!`))
  t.notOk(isEventPattern('a'.repeat(1e6)))
  t.ok(spent() < 1000)
  t.end()
})
