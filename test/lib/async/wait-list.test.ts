import t from 'tap'
import { WaitList, type Waiting } from '#lib/async/wait-list.ts'

/** Counts how often a list looks at its neighbours or sets them. */
class Counted implements Waiting<Counted> {
  static touched = 0
  readonly name: number
  #before: Counted | null = null
  #after: Counted | null = null

  constructor(name: number) {
    this.name = name
  }

  get before(): Counted | null {
    Counted.touched++
    return this.#before
  }

  set before(item: Counted | null) {
    Counted.touched++
    this.#before = item
  }

  get after(): Counted | null {
    Counted.touched++
    return this.#after
  }

  set after(item: Counted | null) {
    Counted.touched++
    this.#after = item
  }
}

function namesOf(list: WaitList<Counted>): number[] {
  const names: number[] = []
  for (let item = list.first; item !== null; item = list.first) {
    names.push(item.name)
    list.remove(item)
  }
  return names
}

t.test('what waits keeps the order in which it came, whatever gives up', (t) => {
  const list = new WaitList<Counted>()
  t.equal(list.first, null)
  const items = [0, 1, 2, 3, 4, 5].map((name) => new Counted(name))
  for (const item of items) list.add(item)
  for (const name of [3, 0, 5]) list.remove(items[name] as Counted)
  list.add(items[0] as Counted)
  t.strictSame(namesOf(list), [1, 2, 4, 0])
  t.equal(list.first, null)
  list.add(items[2] as Counted)
  t.strictSame(namesOf(list), [2], 'also after it was empty')
  t.end()
})

t.test('to give up costs the same however many wait', (t) => {
  const COUNT = 20_000
  for (const [order, from] of [
    ['from the first', (index: number) => index],
    ['from the last', (index: number) => COUNT - 1 - index],
    // 7 is no divisor of their number: each of them once.
    ['here and there', (index: number) => (index * 7) % COUNT],
  ] as const) {
    const list = new WaitList<Counted>()
    const items = Array.from({ length: COUNT }, (_, index) => new Counted(index))
    for (const item of items) list.add(item)
    Counted.touched = 0
    for (const index of items.keys()) list.remove(items[from(index)] as Counted)
    t.equal(list.first, null)
    t.ok(Counted.touched <= 6 * COUNT, `${order}: ${Counted.touched / COUNT} for each`)
  }
  t.end()
})
