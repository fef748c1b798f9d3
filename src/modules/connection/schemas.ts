import { type Static, Type } from '@sinclair/typebox'
import { Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { CONNECTION_KINDS } from './kinds.ts'

const VALUE_MAX_CHARS = 8_192

const name = Type.String({
  pattern: '^[a-z][a-z0-9_-]{0,63}$',
  description: 'By which steps name it. It never changes',
})
const description = Type.String({ maxLength: 500 })
const hosts = Type.Array(Type.String({ minLength: 1, maxLength: 260 }), {
  maxItems: 20,
  uniqueItems: true,
  description:
    'Where its values may be sent: `api.example.com`, `*.example.com` for all below it, with a port if it is not the ' +
    'usual one. The kind `webhook_secret` has none, the others at least one',
})

const settings = Type.Object(
  {
    header: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$",
        description: 'Of the kind `header`: its name; left out: `authorization`',
      }),
    ),
    parameter: Type.Optional(
      Type.String({
        pattern: '^[\\x21-\\x7e]{1,100}$',
        description: 'Of the kind `query`: the name of the parameter',
      }),
    ),
    token_url: Type.Optional(
      Type.String({ minLength: 1, maxLength: 2048, description: 'Of OAuth 2: where tokens are asked for' }),
    ),
    scope: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1000, description: 'Of OAuth 2: scopes, with spaces between' }),
    ),
    audience: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1000, description: 'Of OAuth 2, for servers that ask for one' }),
    ),
    client_auth: Type.Optional(
      StringEnum(['basic', 'body'], {
        description: 'Of OAuth 2: how the client says who it is; left out: `basic`',
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'What is no secret; which members there are depends on `kind`',
  },
)

const secret = (of: string, minLength = 1) =>
  Type.Optional(Type.String({ minLength, maxLength: VALUE_MAX_CHARS, description: of }))

const values = Type.Object(
  {
    value: secret('Of the kinds `header` and `query`'),
    token: secret('Of the kind `bearer`'),
    username: secret('Of the kind `basic`'),
    password: secret('Of the kind `basic`; may be empty', 0),
    client_id: secret('Of OAuth 2'),
    client_secret: secret('Of OAuth 2'),
    secret: secret('Of the kind `webhook_secret`: by which the other side signs'),
    previous_secret: secret(
      'Of the kind `webhook_secret`: also taken, while the other side changes to the new one',
    ),
    verify_token: secret('Of the kind `webhook_secret`: what Meta is told, and says when it asks'),
  },
  {
    additionalProperties: false,
    description: 'Secrets: sealed at rest, and in no answer ever. Which members there are depends on `kind`',
  },
)

export const Connection = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name,
    kind: StringEnum(CONNECTION_KINDS),
    description,
    hosts,
    settings: Type.Object(settings.properties),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { $id: 'Connection', description: 'Credentials of the shop, without their values' },
)
export type Connection = Static<typeof Connection>

export const ConnectionPage = Page(ref(Connection), 'ConnectionPage')

export const NewConnection = Type.Object(
  {
    name,
    kind: StringEnum(CONNECTION_KINDS, {
      description: 'How requests say who they are, or by what those are verified that come. It never changes',
    }),
    description: Type.Optional(description),
    hosts: Type.Optional(hosts),
    settings: Type.Optional(settings),
    values,
  },
  {
    $id: 'NewConnection',
    additionalProperties: false,
    examples: [
      {
        name: 'scores',
        kind: 'header',
        hosts: ['scores.example.com'],
        settings: { header: 'X-Api-Key' },
        values: { value: 'the key that the other side gave' },
      },
      { name: 'shopify', kind: 'webhook_secret', values: { secret: 'the secret that the other side shows' } },
    ],
  },
)
export type NewConnection = Static<typeof NewConnection>

export const ConnectionChange = Type.Object(
  {
    description: Type.Optional(description),
    hosts: Type.Optional(hosts),
    settings: Type.Optional(settings),
    values: Type.Optional(values),
  },
  {
    $id: 'ConnectionChange',
    additionalProperties: false,
    minProperties: 1,
    examples: [{ values: { value: 'the next key' } }],
  },
)
export type ConnectionChange = Static<typeof ConnectionChange>

export const ConnectionParams = Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }) })

export const DeleteQuery = Type.Object(
  {
    force: Type.Optional(
      Type.Boolean({ default: false, description: 'Also if flows name it: their steps then fail' }),
    ),
  },
  { additionalProperties: false },
)
