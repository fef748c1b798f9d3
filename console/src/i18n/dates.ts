/** What a page says in English without a region: days before months, and hours up to 24. */
const USUAL: Readonly<Record<string, string>> = { en: 'en-GB' }

/**
 * Returns how people of this browser write dates in the language of the page: the first of its own languages that is it, with
 * its region.
 */
export function dateTag(language: string, browser: readonly string[]): string {
  const own = browser.find((tag) => tag.toLowerCase().startsWith(`${language}-`) && isKnown(tag))
  return own ?? USUAL[language] ?? language
}

function isKnown(tag: string): boolean {
  try {
    return Intl.DateTimeFormat.supportedLocalesOf(tag).length > 0
  } catch {
    return false
  }
}

/** Months have names: whoever reads 2/11 would have to know who wrote it. */
const DAY = { day: 'numeric', month: 'short', year: 'numeric' } as const
const TIME = { hour: 'numeric', minute: '2-digit' } as const

/** The forms of a time: in the browser's time zone, unless another one is given. */
const FORMS = {
  /** To the second. */
  dateTime: { ...DAY, ...TIME, second: '2-digit' },
  timeOfDay: { ...TIME, second: '2-digit' },
  day: DAY,
  /** On an axis, of a longer and of a shorter time. */
  dayOfYear: { day: 'numeric', month: 'short' },
  minute: TIME,
  weekday: { weekday: 'short' },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>
export type DateForm = keyof typeof FORMS

const formats = new Map<string, Intl.DateTimeFormat>()

/** @param tag of a language, with its region */
export function formatDate(tag: string, form: DateForm, time: Date, timeZone?: string): string {
  const key = `${tag} ${form} ${timeZone ?? ''}`
  let format = formats.get(key)
  if (format === undefined) {
    format = new Intl.DateTimeFormat(tag, { ...FORMS[form], ...(timeZone !== undefined && { timeZone }) })
    formats.set(key, format)
  }
  return format.format(time)
}
