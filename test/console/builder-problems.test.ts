import t from 'tap'
import { FAMILIES } from '#test/lib/flow/problem-cases/index.ts'
import { accessibilityFaults, goTo, noConsole, startConsole } from './support/console.ts'

/** Cases that the service does not take as a draft. */
const REFUSED = ['no object', 'too deep']
/** Cases that are wrong by what the shop of their own suite knows of actions, which this one does not. */
const ARE_FINE_HERE = [
  'a flow that does nothing',
  'a missing field',
  'an email that says nothing',
  'an unknown field',
  'a wrong type',
  'a wrong type in a list',
  'a key in a header',
  'a key in a URL',
  'a wrong type at the destination',
  'text where a list goes',
]
/** Cases with something that no field is for, or that is only worth a look: the form says it above its fields. */
const SAID_ABOVE = [
  'steps that are no list',
  'a flow_definition that is none',
  'a property without meaning',
  'no steps',
  'too many steps',
  'no id',
  'an unknown type',
  'a missing property',
  'a step nothing leads to',
  'a loop in a loop',
  'a body that is entered from outside',
  'an unknown type of trigger',
  'an action that starts its own flow',
  'days of the month and of the week',
  'a key that tells itself',
  'a key among the variables',
  'an HTML text message',
  'a path that is not declared',
  'a path in a closed schema',
  'an extra operand',
  'always false',
  'always true',
  'a case that an earlier one takes',
  'no business days, and nothing else to wait for',
  'a message that is to respect something else',
  'a wait without timeout',
  'a wait for anything',
  'an unused handler',
  'a handler that loops',
]

/** What is said beside the field that has the focus, with what frames it; null: no field of the form has it. */
const SAID_THERE = `(() => {
  const { activeElement: field } = document
  if (field === null || field.closest('.panel') === null) return null
  const parts = []
  for (let part = field; !part.matches('.panel'); part = part.parentElement) {
    if (part.matches('.expression, [data-pointer], [data-part]')) parts.push(part.textContent)
  }
  return parts.join(' ')
})()`

t.setTimeout(600_000)

t.test('each problem leads to the field that says it, or is said above', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const { page, faults } = await visit('/console', { viewport: { width: 1440, height: 1000 } })
  const above = page.getByRole('list', { name: 'What no field says' }).getByRole('listitem')
  const found = {
    refused: new Set<string>(),
    fine: new Set<string>(),
    above: new Set<string>(),
    nowhere: [] as string[],
  }
  for (const [name, definition] of Object.values(FAMILIES).flat()) {
    const draft = { name, status: 'draft', ...(definition as object) }
    const flow =
      typeof definition === 'object'
        ? await call<{ id: string }>('POST', '/api/automation/flows', draft).catch(() => null)
        : null
    if (flow === null) {
      found.refused.add(name)
      continue
    }
    await goTo(page, `/console/flows/${flow.id}`)
    await page.locator('.builder[aria-busy="false"]').waitFor()
    const list = page.locator('details', { hasText: /^Problems/ })
    const items = list.getByRole('listitem')
    const count = await items.count()
    if (count === 0) {
      found.fine.add(name)
      continue
    }
    if ((await list.getAttribute('open')) === null) await list.locator('summary').click()
    for (let index = 0; index < count; index++) {
      const row = items.nth(index)
      const message = (await row.locator('> span:not(.soft)').last().innerText()).trim()
      await row.getByRole('button').click()
      const said = await page.evaluate<string | null>(SAID_THERE)
      if (said !== null && said.includes(message)) continue
      if (said !== null && (await above.allInnerTexts()).includes(message)) found.above.add(name)
      else found.nowhere.push(`${name}: ${message}; there: ${said ?? 'no field'}`)
    }
    if (name === 'always false') t.same(await accessibilityFaults(page), [])
  }
  t.strictSame([...found.refused], REFUSED)
  t.strictSame([...found.fine], ARE_FINE_HERE)
  t.strictSame([...found.above], SAID_ABOVE)
  t.strictSame(found.nowhere, [])
  t.same(faults, [])
})

t.test('F8 goes from one problem to the next, also within a step', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const { id } = await call<{ id: string }>('POST', '/api/automation/flows', {
    name: 'Two in one',
    status: 'draft',
    triggers: [{ type: 'manual' }],
    steps: [
      { id: 'a', type: 'delay', duration: 'soon', at: 'noon' },
      { id: 'b', type: 'http', url: 'https://example.com/{{trigger.x', timeout: 'long' },
    ],
  })
  for (const locale of ['en-GB', 'de-DE']) {
    const isGerman = locale === 'de-DE'
    const { page, faults } = await visit(`/console/flows/${id}`, { locale })
    const form = page.getByRole('region', { name: isGerman ? 'Formular' : 'Form' })
    await page.locator('.builder[aria-busy="false"]').waitFor()
    const fields = [
      ...(isGerman ? ['So lange', 'Uhrzeit'] : ['For so long', 'Time of day']),
      'URL',
      isGerman ? 'Höchstens so lange' : 'Longest wait',
    ]
    const focused = async (): Promise<string> =>
      form.locator(':focus').evaluate((field) => {
        const { labels } = field as unknown as { labels: { textContent: string }[] }
        return labels[0]?.textContent ?? ''
      })
    const seen: string[] = []
    for (let count = 0; count < fields.length; count++) {
      await page.keyboard.press('F8')
      await form.locator('[aria-invalid="true"]:focus').waitFor()
      seen.push(await focused())
    }
    t.equal(new Set(seen).size, fields.length, seen.join(', '))
    await page.keyboard.press('Shift+F8')
    await form.locator('[aria-invalid="true"]:focus').waitFor()
    t.equal(await focused(), seen.at(-2), 'and back')
    t.same(faults, [])
  }
})
