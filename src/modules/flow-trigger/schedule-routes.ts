import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidRequest } from '#infra/http/problems.ts'
import { BODY_PROBLEMS, READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { now } from '#lib/clock.ts'
import { EITHER_DAY, parseSchedule, type Schedule, takesEitherDay } from '#lib/cron.ts'
import { Defaulted, problems, ref, Timestamp } from '#lib/api/schema.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import { parseTime } from '#lib/time.ts'

/** Times that are shown: enough to see weekdays, month ends and a change of clocks. */
const TIMES = 10
const CRON_MAX_CHARS = 100

const SchedulePreviewInput = Type.Object(
  {
    cron: Type.String({
      minLength: 1,
      maxLength: CRON_MAX_CHARS,
      description: 'Minute, hour, day, month, weekday; or a name such as `@daily`',
      examples: ['0 9 * * MON-FRI'],
    }),
    timezone: Defaulted(
      Type.String({
        default: 'UTC',
        maxLength: 100,
        description: 'An IANA time zone',
        examples: ['Europe/Lisbon'],
      }),
    ),
    after: Type.Optional(
      Type.String({ maxLength: 64, description: 'Times after this one. Left out: after now' }),
    ),
  },
  {
    $id: 'SchedulePreviewInput',
    additionalProperties: false,
    examples: [{ cron: '0 9 * * MON-FRI', timezone: 'Europe/Lisbon' }],
  },
)
const SchedulePreview = Type.Object(
  {
    cron: Type.String(),
    timezone: Type.String(),
    times: Type.Array(Timestamp, {
      description: 'The next ten; fewer if it does not come due so often again',
    }),
    notes: Type.Array(Type.String(), { description: 'What may be meant otherwise' }),
  },
  { $id: 'SchedulePreview' },
)

export const SCHEDULE_SCHEMAS = [SchedulePreviewInput, SchedulePreview]

export function scheduleRoutes(app: FastifyInstance): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/schedules/preview',
    {
      schema: {
        operationId: 'previewSchedule',
        tags: ['flows'],
        summary: 'When a schedule comes due',
        description: 'The next ten times of a cron expression in a time zone. Stores nothing.',
        body: ref(SchedulePreviewInput),
        response: { 200: ref(SchedulePreview), ...problems(...READ_PROBLEMS, ...BODY_PROBLEMS) },
      },
    },
    async (request) => preview(request.body),
  )
}

/** @throws `invalid_request` */
function preview({
  cron,
  timezone,
  after,
}: Static<typeof SchedulePreviewInput>): Static<typeof SchedulePreview> {
  const refuse = (name: string, detail: string): never => {
    throw invalidRequest(undefined, { errors: [{ pointer: `/${name}`, detail }] })
  }
  if (!isTimeZone(timezone)) refuse('timezone', 'must be an IANA time zone such as Europe/Lisbon')
  const from = after === undefined ? now() : parseTime(after)
  if (from === null || from < 0) return refuse('after', 'must be a time such as 2026-05-01T00:00:00Z')
  const text = cron.trim()
  if (text.split(/\s+/).length !== 5 && !/^@[a-z]+$/.test(text)) {
    refuse('cron', 'must have five fields: minute, hour, day, month and weekday, such as "0 9 * * MON-FRI"')
  }
  let schedule: Schedule
  try {
    schedule = parseSchedule(text, timezone)
  } catch (error) {
    return refuse('cron', (error as Error).message.replace(/^CronPattern: /, ''))
  }
  const times: Date[] = []
  for (let at = schedule.next(new Date(from)); at !== null && times.length < TIMES; at = schedule.next(at)) {
    times.push(at)
  }
  return { cron: text, timezone, times, notes: takesEitherDay(text) ? [EITHER_DAY] : [] }
}
