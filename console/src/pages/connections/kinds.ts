import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

export type Kind = Schema['Connection']['kind']
export type SettingName = keyof Schema['Connection']['settings']
export type ValueName = keyof Schema['NewConnection']['values']

interface KindFields {
  settings: readonly SettingName[]
  values: readonly ValueName[]
}

/** What each kind asks for, as the API does: settings are shown, values never again. */
export const FIELDS: Readonly<Record<Kind, KindFields>> = {
  bearer: { settings: [], values: ['token'] },
  basic: { settings: [], values: ['username', 'password'] },
  header: { settings: ['header'], values: ['value'] },
  query: { settings: ['parameter'], values: ['value'] },
  oauth2_client_credentials: {
    settings: ['token_url', 'scope', 'audience', 'client_auth'],
    values: ['client_id', 'client_secret'],
  },
  webhook_secret: { settings: [], values: ['secret', 'previous_secret', 'verify_token'] },
}
export const KINDS = Object.keys(FIELDS) as Kind[]
export const OPTIONAL: ReadonlySet<SettingName> = new Set(['header', 'scope', 'audience', 'client_auth'])
export const OPTIONAL_VALUES: ReadonlySet<ValueName> = new Set([
  'password',
  'previous_secret',
  'verify_token',
])

export const kindNames = words({
  en: {
    bearer: 'Bearer token',
    basic: 'User and password',
    header: 'Key in a header',
    query: 'Key in the address',
    oauth2_client_credentials: 'OAuth 2 (client credentials)',
    webhook_secret: 'Secret of incoming webhooks',
  },
  de: {
    bearer: 'Bearer-Token',
    basic: 'Benutzername und Passwort',
    header: 'Schlüssel in einer Kopfzeile',
    query: 'Schlüssel in der Adresse',
    oauth2_client_credentials: 'OAuth 2 (Client Credentials)',
    webhook_secret: 'Geheimnis eingehender Webhooks',
  },
})

export const fieldNames = words({
  en: {
    header: 'Header',
    parameter: 'Parameter',
    token_url: 'Token address',
    scope: 'Scopes',
    audience: 'Audience',
    client_auth: 'Client says who it is by',
    value: 'Key',
    token: 'Token',
    username: 'User',
    password: 'Password',
    client_id: 'Client id',
    client_secret: 'Client secret',
    secret: 'Secret',
    previous_secret: 'Previous secret',
    verify_token: 'Verify token (Meta)',
  },
  de: {
    header: 'Kopfzeile',
    parameter: 'Parameter',
    token_url: 'Token-Adresse',
    scope: 'Rechte',
    audience: 'Audience',
    client_auth: 'Client weist sich aus über',
    value: 'Schlüssel',
    token: 'Token',
    username: 'Benutzername',
    password: 'Passwort',
    client_id: 'Client-Kennung',
    client_secret: 'Client-Geheimnis',
    secret: 'Geheimnis',
    previous_secret: 'Bisheriges Geheimnis',
    verify_token: 'Prüftoken (Meta)',
  },
})
