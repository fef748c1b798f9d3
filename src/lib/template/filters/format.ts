import { LRUCache } from 'lru-cache'
import { isDateOnly, needsTimeZone, parseTime, readTime } from '#lib/time.ts'
import { CLOCK_FIELDS, isAtHand, wallTime } from '#lib/time-zone.ts'
import { type FilterContext, type FilterSpec, parseSignedDuration, TemplateFailure } from './filter.ts'
import { decimalText } from './number.ts'

/** Makers of texts in zones and languages are slow to build; the names may come from data, hence the bound. */
const MAX_CACHED = 50
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)
const MIN_TIME_MS = parseTime('0001-01-01') ?? 0
const DAY_MS = 86_400_000

const zones = new LRUCache<string, Intl.DateTimeFormat>({ max: MAX_CACHED })
const currencies = new LRUCache<string, Intl.NumberFormat>({ max: MAX_CACHED })

const DIRECTIVE = /%(-?)([A-Za-z%])/g
const WITHOUT_ZERO = /^0(?=\d)/

type Fields = Readonly<Record<string, string>>

const DIRECTIVES: Readonly<Record<string, (fields: Fields, at: Date) => string | undefined>> = {
  Y: ({ year }) => year,
  y: ({ year }) => year?.slice(-2),
  m: ({ month }) => month,
  d: ({ day }) => day,
  e: ({ day }) => day?.replace(WITHOUT_ZERO, ''),
  H: ({ hour }) => hour,
  I: ({ hour }) => String(Number(hour) % 12 || 12).padStart(2, '0'),
  M: ({ minute }) => minute,
  S: ({ second }) => second,
  L: (_fields, at) => String(at.getUTCMilliseconds()).padStart(3, '0'),
  p: ({ hour }) => (Number(hour) < 12 ? 'AM' : 'PM'),
  A: ({ weekday }) => weekday,
  a: ({ weekday }) => weekday?.slice(0, 3),
  B: ({ monthName }) => monthName,
  b: ({ monthName }) => monthName?.slice(0, 3),
  F: ({ year, month, day }) => `${year ?? ''}-${month ?? ''}-${day ?? ''}`,
  T: ({ hour, minute, second }) => `${hour ?? ''}:${minute ?? ''}:${second ?? ''}`,
  R: ({ hour, minute }) => `${hour ?? ''}:${minute ?? ''}`,
  z: ({ timeZoneName }) => (timeZoneName === 'GMT' ? '+0000' : timeZoneName?.slice(3).replace(':', '')),
  s: (_fields, at) => String(Math.floor(at.getTime() / 1000)),
  '%': () => '%',
}

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

type Spend = (steps: number) => void

/** Of a time or an amount that is written, in characters' worth of work, 5 ns each: 10 µs. */
const FORMAT_COST = 2000

/** Of a zone or a language that is not at hand, in characters' worth of work: up to 200 µs. */
const NEW_FORMAT_COST = 40_000

/** To read a clock of a zone that is at hand, and to look for the moment at which one shows something. */
const CLOCK_COST = 4000

/** Filters that move times, and write times and amounts. */
export const FORMAT_FILTERS = {
  date: {
    input: ['time'],
    args: [
      { name: 'format', type: 'format', optional: true },
      { name: 'zone', type: 'zone', optional: true },
    ],
    returns: 'text',
    description:
      'A time in a format (default "%Y-%m-%d") and a time zone (default the shop\'s, which is UTC if it has none). A date is that day in every zone. %Y %y %m %d %e %H %I %M %S %L %p %A %a %B %b %F %T %R %z %s; %-d is without its zero.',
    example: [
      '{{trigger.starts_at | date: "%A %-d %B, %H:%M", "Europe/Lisbon"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      'Saturday 4 July, 14:30',
    ],
    apply: (
      time: unknown,
      [format = '%Y-%m-%d', zone]: [string?, string?],
      { zone: own, spend }: FilterContext,
    ) => {
      spend(FORMAT_COST)
      return formatTime(time, format, { zone: zone ?? own, own, spend })
    },
  },
  add: {
    input: ['time'],
    args: [{ name: 'duration', type: 'duration' }],
    returns: 'time',
    description:
      'A time so much later, or earlier with a minus, in UTC. A date that is moved by whole days stays a date.',
    example: [
      '{{trigger.starts_at | add: "-24 hours"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      '2026-07-03T13:30:00.000Z',
    ],
    apply: (time: unknown, [duration]: [string], { zone, spend }: FilterContext) =>
      shiftTime(time, parseSignedDuration(duration) ?? 0, zone, spend),
  },
  in_zone: {
    input: ['time'],
    args: [{ name: 'zone', type: 'zone', optional: true }],
    returns: 'time',
    description:
      "The time by the clocks of a time zone (default the shop's), with its distance from UTC. A date stays one.",
    example: [
      '{{trigger.starts_at | in_zone: "Europe/Lisbon"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      '2026-07-04T14:30:00+01:00',
    ],
    apply: (time: unknown, [zone]: [string?], { zone: own, spend }: FilterContext) =>
      timeInZone(time, zone ?? own, { own, spend }),
  },
  money: {
    input: ['number'],
    args: [
      { name: 'currency', type: 'currency' },
      { name: 'locale', type: 'locale', optional: true },
    ],
    returns: 'text',
    description: 'An amount with its currency, as a language writes it (default "en-US").',
    example: ['{{trigger.total | money: "EUR"}}', { total: '1299.5' }, '€1,299.50'],
    apply: (value: unknown, [currency, locale = 'en-US']: [string, string?], { spend }: FilterContext) => {
      spend(FORMAT_COST)
      return formatMoney(value, currency, locale, spend)
    },
  },
} as const satisfies Record<string, FilterSpec>

/**
 * `strftime` in a zone, with English names: `%d.%m.%Y %H:%M`, `%A, %B %-d`. Unknown directives are a failure. A date
 * is that day in every zone.
 *
 * @param own zone of a time that does not name one
 */
function formatTime(
  time: unknown,
  format: string,
  { zone, own, spend }: { zone: string; own: string; spend: Spend },
): string {
  const isDay = isDateOnly(time)
  const at = new Date(momentOf(time, isDay ? 'UTC' : own, spend))
  const fields = isDay || zone === 'UTC' ? utcFields(at) : zoneFields(at, zone, spend)
  return format.replace(DIRECTIVE, (directive, dash: string, letter: string) => {
    const text = Object.hasOwn(DIRECTIVES, letter) ? DIRECTIVES[letter]?.(fields, at) : undefined
    if (text === undefined) throw new TemplateFailure(`uses ${directive}, which is no part of a date format`)
    return dash === '' ? text : text.replace(WITHOUT_ZERO, '')
  })
}

/** The first part of a format that means nothing, or null. */
export function unknownDirective(format: string): string | null {
  for (const [directive, , letter = ''] of format.matchAll(DIRECTIVE)) {
    if (!Object.hasOwn(DIRECTIVES, letter)) return directive
  }
  return null
}

/** The time so much later, in UTC; a date that is moved by whole days is a date. */
export function shiftTime(time: unknown, ms: number, zone: string, spend: Spend): string {
  const isDay = isDateOnly(time) && ms % DAY_MS === 0
  const shifted = momentOf(time, isDay ? 'UTC' : zone, spend) + ms
  if (!(shifted >= MIN_TIME_MS && shifted <= MAX_TIME_MS)) {
    throw new TemplateFailure('leaves the years 1 to 9999')
  }
  const text = new Date(shifted).toISOString()
  return isDay ? text.slice(0, 'yyyy-mm-dd'.length) : text
}

/** `2026-07-04T14:30:00+01:00`: the time by the clocks of a zone. A date stays one. */
function timeInZone(time: unknown, zone: string, { own, spend }: { own: string; spend: Spend }): string {
  if (isDateOnly(time)) return time
  const ms = momentOf(time, own, spend)
  spend(isAtHand(zone) ? CLOCK_COST : NEW_FORMAT_COST)
  const wall = wallTime(ms, zone)
  const [text = '', fraction = ''] = new Date(wall).toISOString().slice(0, -1).split('.')
  const minutes = Math.round((wall - ms) / 60_000)
  const [hour, minute] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map(twoDigits)
  return `${text}${fraction === '000' ? '' : `.${fraction}`}${minutes < 0 ? '-' : '+'}${hour ?? ''}:${minute ?? ''}`
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}

function momentOf(time: unknown, zone: string, spend: Spend): number {
  if (zone !== 'UTC' && needsTimeZone(time)) spend(isAtHand(zone) ? CLOCK_COST : NEW_FORMAT_COST)
  return readTime(time, zone) ?? Number.NaN
}

/** `€1,299.95`, or as another language writes it. */
function formatMoney(amount: unknown, currency: string, locale: string, spend: Spend): string {
  const code = currency.toUpperCase()
  const maker = cached(
    currencies,
    `${locale} ${code}`,
    () => new Intl.NumberFormat(locale, { style: 'currency', currency: code }),
    spend,
  )
  return maker.format(decimalText(amount) as Intl.StringNumericLiteral)
}

/** The same as `zoneFields` gives for UTC, a hundred times faster. */
function utcFields(at: Date): Fields {
  const [year = '', month = '', day = '', hour = '', minute = '', second = ''] = at
    .toISOString()
    .split(/[-T:.]/)
  const weekday = WEEKDAYS[at.getUTCDay()] ?? ''
  const monthName = MONTHS[Number(month) - 1] ?? ''
  return { year, month, day, hour, minute, second, weekday, monthName, timeZoneName: 'GMT' }
}

function zoneFields(at: Date, zone: string, spend: Spend): Fields {
  const maker = cached(
    zones,
    zone,
    () =>
      new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        ...CLOCK_FIELDS,
        weekday: 'long',
        timeZoneName: 'longOffset',
      }),
    spend,
  )
  const fields: Record<string, string> = {}
  for (const { type, value } of maker.formatToParts(at)) fields[type] = value
  fields['year'] = fields['year']?.padStart(4, '0') ?? ''
  fields['monthName'] = MONTHS[Number(fields['month']) - 1] ?? ''
  return fields
}

function cached<Maker extends object>(
  makers: LRUCache<string, Maker>,
  key: string,
  make: () => Maker,
  spend: Spend,
): Maker {
  const known = makers.get(key)
  if (known) return known
  spend(NEW_FORMAT_COST)
  const maker = make()
  makers.set(key, maker)
  return maker
}
