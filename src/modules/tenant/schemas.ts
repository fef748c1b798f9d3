import { type Static, type TInteger, type TObject, type TOptional, Type } from '@sinclair/typebox'
import { type BusinessDays, type Hours, WEEKDAYS } from '#lib/calendar.ts'
import { QUOTA_NAMES, type QuotaName, QUOTAS } from '#infra/quotas.ts'
import { Nullable, StringEnum, Timestamp } from '#lib/api/schema.ts'

/** Those of some years, for several regions. */
const MAX_HOLIDAYS = 400

const strictEvents = {
  description:
    "Refuse events that do not match their type's schema, instead of storing them and noting what is wrong",
}

const timeZone = {
  description:
    'An IANA name such as Europe/Lisbon. In it the times of flows are read that do not name one, and their times of day are meant',
}
const quietHours = {
  description:
    'When nobody is to be disturbed, by the clocks of `time_zone`; over midnight if `to` is not later. Messages that respect them are held back until they end. Null: never',
}
const businessDays = {
  description: 'Days on which the shop works: weekdays that are not among the holidays',
}

/** `09:00`; `24:00` is the end of the day. */
const TimeOfDay = Type.String({ pattern: '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$', maxLength: 5 })
const QuietHours = Type.Object({ from: TimeOfDay, to: TimeOfDay }, { additionalProperties: false })
const BusinessDays = Type.Object(
  {
    weekdays: Type.Array(StringEnum(WEEKDAYS), { minItems: 1, maxItems: 7, uniqueItems: true }),
    holidays: Type.Array(Type.String({ format: 'date', maxLength: 10 }), {
      maxItems: MAX_HOLIDAYS,
      uniqueItems: true,
      description: 'Dates such as 2026-12-25',
    }),
  },
  { additionalProperties: false },
)

export const Tenant = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    strict_events: Type.Boolean(strictEvents),
    has_platform: Type.Boolean({
      description:
        'Actions of the platform can be done: the service, or this tenant by itself, has been told where it is',
    }),
    time_zone: Type.String(timeZone),
    quiet_hours: Type.Unsafe<Hours | null>({ ...Nullable(QuietHours), ...quietHours }),
    business_days: Type.Unsafe<BusinessDays>({ ...BusinessDays, ...businessDays }),
    created_at: Nullable(Timestamp),
    updated_at: Nullable(Timestamp),
  },
  { $id: 'Tenant' },
)
export type Tenant = Static<typeof Tenant>

const Limit = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** A row for each quota, so that a new one is in the document at once. */
export const Usage = Type.Object(
  {
    quotas: Type.Object(
      Object.fromEntries(
        QUOTA_NAMES.map((name) => [
          name,
          Type.Object(
            {
              used: Type.Integer(),
              limit: Type.Integer(),
              default: Type.Integer(),
            },
            { description: QUOTAS[name].description },
          ),
        ]),
      ) as Record<QuotaName, TObject<{ used: TInteger; limit: TInteger; default: TInteger }>>,
    ),
  },
  { $id: 'Usage' },
)
export type Usage = Static<typeof Usage>

export const QuotaSettings = Type.Object(
  Object.fromEntries(
    QUOTA_NAMES.map((name) => [
      name,
      Type.Optional(Type.Integer({ ...Limit, description: QUOTAS[name].description })),
    ]),
  ) as Record<QuotaName, TOptional<TInteger>>,
  {
    $id: 'QuotaSettings',
    additionalProperties: false,
    examples: [{ plugins: 20, events_per_minute: 6_000 }],
  },
)
export type QuotaSettings = Static<typeof QuotaSettings>

export const TenantChange = Type.Object(
  {
    strict_events: Type.Optional(Type.Boolean(strictEvents)),
    time_zone: Type.Optional(Type.String({ ...timeZone, maxLength: 64 })),
    quiet_hours: Type.Optional(Type.Unsafe<Hours | null>({ ...Nullable(QuietHours), ...quietHours })),
    business_days: Type.Optional(
      Type.Unsafe<Partial<BusinessDays>>({
        ...Type.Partial(BusinessDays, { minProperties: 1 }),
        description: `${businessDays.description}. What is left out stays as it is`,
      }),
    ),
  },
  {
    $id: 'TenantChange',
    additionalProperties: false,
    minProperties: 1,
    examples: [
      {
        strict_events: true,
        time_zone: 'Europe/Lisbon',
        quiet_hours: { from: '21:00', to: '08:00' },
        business_days: { weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'], holidays: ['2026-12-25'] },
      },
    ],
  },
)
export type TenantChange = Static<typeof TenantChange>
