import { glob, readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { dateTag, formatDate } from '#console/src/i18n/dates.ts'

const CONSOLE = resolve(import.meta.dirname, '../../console/src')
const TIME = new Date('2026-11-02T14:05:09Z')
/** Some languages have narrow blanks, which differ from one version of the Unicode data to another. */
const plain = (text: string): string => text.replaceAll(/\s/g, ' ')
const shown = (tag: string, form: Parameters<typeof formatDate>[1]): string =>
  plain(formatDate(tag, form, TIME, 'UTC'))

t.test('the browser says how dates are written in the language of the page', async (t) => {
  for (const [language, browser, tag] of [
    ['en', ['en-GB', 'en'], 'en-GB'],
    ['en', ['de-DE', 'en-US', 'en-GB'], 'en-US'],
    ['en', ['en'], 'en-GB'],
    ['en', ['de-DE'], 'en-GB'],
    ['en', [], 'en-GB'],
    ['en', ['en-!'], 'en-GB'],
    ['de', ['en-US', 'de-AT'], 'de-AT'],
    ['de', ['en-US'], 'de'],
  ] as const) {
    t.equal(dateTag(language, browser), tag, `${language} of ${browser.join(', ')}`)
  }
})

t.test('no date can be taken for another one', async (t) => {
  t.equal(shown('en-GB', 'dateTime'), '2 Nov 2026, 14:05:09')
  t.equal(shown('en-GB', 'day'), '2 Nov 2026')
  t.equal(shown('en-GB', 'timeOfDay'), '14:05:09')
  t.equal(shown('en-GB', 'dayOfYear'), '2 Nov')
  t.equal(shown('en-GB', 'minute'), '14:05')
  t.equal(shown('en-US', 'dateTime'), 'Nov 2, 2026, 2:05:09 PM')
  t.equal(shown('de', 'dateTime'), '2. Nov. 2026, 14:05:09')
  t.equal(shown('de', 'weekday'), 'Mo')
  for (const tag of ['en-GB', 'en-US', 'en-CA', 'en-ZA', 'en-IN', 'en-AU', 'de', 'de-AT', 'de-CH']) {
    for (const form of ['dateTime', 'day', 'dayOfYear'] as const)
      t.match(shown(tag, form), /Nov/, `${tag} ${form}`)
  }
})

t.test('dates are formatted in one place', async (t) => {
  for await (const file of glob('**/*.{ts,svelte}', { cwd: CONSOLE })) {
    if (file === 'i18n/dates.ts') continue
    const source = await readFile(resolve(CONSOLE, file), 'utf8')
    t.notMatch(source, /new Intl\.DateTimeFormat|toLocale(Date|Time)?String/, file)
  }
})
