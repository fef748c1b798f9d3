import type { Component } from 'svelte'
import type { Role } from './api/session.svelte.ts'
import { matchPath } from './router.svelte.ts'

type Group = 'automate' | 'connect' | 'observe' | 'admin'

/** Scopes of a plugin that pages ask for; `events:read` may be narrowed to types. */
export type Scope = 'self:read' | 'events:read'

export interface Route {
  pattern: string
  load: () => Promise<{ default: Component<never> }>
  /** What a caller needs to see it; `plugin`: the session of a plugin, if it has this scope. */
  role: Role
  plugin?: Scope
  /** It also works for a platform session that has chosen no shop. */
  aboveShops?: true
  /** Its place in the sidebar and in the palette, by the name of its text in shell/names.ts. */
  nav?: { group: Group; name: string }
}

/** Every page. What has no page yet has no entry: nothing half done stands behind a menu. */
export const ROUTES: readonly Route[] = [
  {
    pattern: '/',
    load: async () => import('./pages/overview/Home.svelte'),
    role: 'viewer',
    plugin: 'self:read',
  },
  {
    pattern: '/flows',
    load: async () => import('./pages/flows/Flows.svelte'),
    role: 'viewer',
    nav: { group: 'automate', name: 'flows' },
  },
  { pattern: '/flows/:id', load: async () => import('./pages/flow/Flow.svelte'), role: 'viewer' },
  {
    pattern: '/runs',
    load: async () => import('./pages/runs/Runs.svelte'),
    role: 'viewer',
    nav: { group: 'automate', name: 'runs' },
  },
  { pattern: '/runs/:id', load: async () => import('./pages/run/Run.svelte'), role: 'viewer' },
  {
    pattern: '/automations',
    load: async () => import('./pages/automations/Automations.svelte'),
    role: 'viewer',
    nav: { group: 'automate', name: 'automations' },
  },
  { pattern: '/automations/new', load: async () => import('./pages/automations/New.svelte'), role: 'editor' },
  {
    pattern: '/automations/:id',
    load: async () => import('./pages/automations/Automation.svelte'),
    role: 'viewer',
  },
  {
    pattern: '/messages',
    load: async () => import('./pages/messages/Messages.svelte'),
    role: 'viewer',
    nav: { group: 'automate', name: 'messages' },
  },
  { pattern: '/messages/:id', load: async () => import('./pages/messages/Message.svelte'), role: 'viewer' },
  {
    pattern: '/templates',
    load: async () => import('./pages/templates/Templates.svelte'),
    role: 'viewer',
    nav: { group: 'automate', name: 'templates' },
  },
  {
    pattern: '/templates/:id',
    load: async () => import('./pages/templates/Template.svelte'),
    role: 'viewer',
  },
  {
    pattern: '/plugins',
    load: async () => import('./pages/plugins/Plugins.svelte'),
    role: 'viewer',
    plugin: 'self:read',
    nav: { group: 'connect', name: 'plugins' },
  },
  { pattern: '/plugins/new', load: async () => import('./pages/plugins/PluginNew.svelte'), role: 'editor' },
  {
    pattern: '/plugins/:slug',
    load: async () => import('./pages/plugins/Plugin.svelte'),
    role: 'viewer',
    plugin: 'self:read',
  },
  {
    pattern: '/deliveries',
    load: async () => import('./pages/deliveries/Deliveries.svelte'),
    role: 'viewer',
    plugin: 'self:read',
    nav: { group: 'connect', name: 'deliveries' },
  },
  {
    pattern: '/deliveries/:id',
    load: async () => import('./pages/deliveries/Delivery.svelte'),
    role: 'viewer',
    plugin: 'self:read',
  },
  {
    pattern: '/replays',
    load: async () => import('./pages/replays/Replays.svelte'),
    role: 'viewer',
    plugin: 'self:read',
    nav: { group: 'connect', name: 'replays' },
  },
  {
    pattern: '/replays/:id',
    load: async () => import('./pages/replays/Replay.svelte'),
    role: 'viewer',
    plugin: 'self:read',
  },
  {
    pattern: '/replays/recoveries/:id',
    load: async () => import('./pages/replays/Recovery.svelte'),
    role: 'viewer',
  },
  {
    pattern: '/actions',
    load: async () => import('./pages/actions/Actions.svelte'),
    role: 'viewer',
    nav: { group: 'connect', name: 'actions' },
  },
  {
    pattern: '/connections',
    load: async () => import('./pages/connections/Connections.svelte'),
    role: 'viewer',
    nav: { group: 'connect', name: 'connections' },
  },
  {
    pattern: '/events',
    load: async () => import('./pages/events/Events.svelte'),
    role: 'viewer',
    plugin: 'events:read',
    nav: { group: 'observe', name: 'events' },
  },
  {
    pattern: '/events/:id',
    load: async () => import('./pages/events/Event.svelte'),
    role: 'viewer',
    plugin: 'events:read',
  },
  {
    pattern: '/catalogue',
    load: async () => import('./pages/catalogue/Catalogue.svelte'),
    role: 'viewer',
    plugin: 'self:read',
    nav: { group: 'observe', name: 'catalogue' },
  },
  {
    pattern: '/catalogue/:type',
    load: async () => import('./pages/catalogue/EventType.svelte'),
    role: 'viewer',
    plugin: 'self:read',
  },
  {
    pattern: '/calls',
    load: async () => import('./pages/calls/Calls.svelte'),
    role: 'viewer',
    nav: { group: 'observe', name: 'calls' },
  },
  { pattern: '/calls/:id', load: async () => import('./pages/calls/Call.svelte'), role: 'viewer' },
  {
    pattern: '/analytics',
    load: async () => import('./pages/analytics/Analytics.svelte'),
    role: 'viewer',
    plugin: 'self:read',
    nav: { group: 'observe', name: 'analytics' },
  },
  {
    pattern: '/settings',
    load: async () => import('./pages/settings/Settings.svelte'),
    role: 'viewer',
    nav: { group: 'admin', name: 'settings' },
  },
  {
    pattern: '/variables',
    load: async () => import('./pages/variables/Variables.svelte'),
    role: 'viewer',
    nav: { group: 'admin', name: 'variables' },
  },
  {
    pattern: '/keys',
    load: async () => import('./pages/keys/Keys.svelte'),
    role: 'admin',
    aboveShops: true,
    nav: { group: 'admin', name: 'keys' },
  },
  {
    pattern: '/audit',
    load: async () => import('./pages/audit/Audit.svelte'),
    role: 'admin',
    aboveShops: true,
    nav: { group: 'admin', name: 'audit' },
  },
  {
    pattern: '/audit/:id',
    load: async () => import('./pages/audit/AuditEntry.svelte'),
    role: 'admin',
    aboveShops: true,
  },
  {
    pattern: '/operation',
    load: async () => import('./pages/operation/Operation.svelte'),
    role: 'platform',
    aboveShops: true,
    nav: { group: 'admin', name: 'operation' },
  },
]

/** The page of an address, with the parameters in it. */
export function routeOf(path: string): { route: Route; params: Record<string, string> } | null {
  for (const route of ROUTES) {
    const params = matchPath(route.pattern, path)
    if (params !== null) return { route, params }
  }
  return null
}
