import type { TenantRole } from '#db/schema.ts'
import type { Scope } from './scopes.ts'

/**
 * The rights that a route asks of its caller. A tenant key needs at least the role; platform keys may do all of it.
 * `plugin` lets in the keys of plugins that have the scope, or of any plugin: with a `:slug` in the path only for
 * that plugin, else the handler narrows by `request.actor.pluginId`. `tenant: 'optional'` is for routes that also
 * work above all tenants, by `request.tenantScope`.
 */
export interface Access {
  role: 'public' | TenantRole | 'platform'
  plugin?: Scope | 'any'
  tenant?: 'optional'
}

/**
 * The rights of each operation, by its id, module by module. Other routes, as those of a page, state theirs by
 * `openTo`.
 */
const ACCESS: Readonly<Record<string, Access>> = {
  // audit
  getAuditLogEntry: { role: 'admin', tenant: 'optional' },
  listAuditLog: { role: 'admin', tenant: 'optional' },
  // automation
  changeAutomation: { role: 'editor' },
  continueAutomation: { role: 'editor' },
  createAutomation: { role: 'editor' },
  deleteAutomation: { role: 'editor' },
  getAutomation: { role: 'viewer' },
  installDefaultAutomations: { role: 'editor' },
  listAutomations: { role: 'viewer' },
  replaceAutomation: { role: 'editor' },
  resetAutomation: { role: 'editor' },
  runAutomations: { role: 'editor' },
  testAutomation: { role: 'editor' },
  toggleAutomation: { role: 'editor' },
  triggerAutomation: { role: 'editor' },
  // capability
  getPluginCapabilities: { role: 'viewer', plugin: 'self:read' },
  listCapabilities: { role: 'viewer' },
  putManifest: { role: 'editor', plugin: 'actions:offer' },
  refreshCapabilities: { role: 'editor', plugin: 'actions:offer' },
  // connection
  changeConnection: { role: 'admin' },
  createConnection: { role: 'admin' },
  deleteConnection: { role: 'admin' },
  getConnection: { role: 'viewer' },
  listConnections: { role: 'viewer' },
  // dispatcher
  completeAction: { role: 'public' },
  dispatchActions: { role: 'editor', plugin: 'actions:call' },
  dispatchActionsAlias: { role: 'editor', plugin: 'actions:call' },
  getEventLogEntry: { role: 'viewer' },
  listEventLog: { role: 'viewer' },
  // erasure
  createErasure: { role: 'admin' },
  getErasure: { role: 'admin' },
  listErasures: { role: 'admin' },
  // event
  allowEvents: { role: 'public' },
  assignEventSegment: { role: 'admin' },
  createEvents: { role: 'editor', plugin: 'events:publish', tenant: 'optional' },
  deleteEventType: { role: 'editor' },
  getEvent: { role: 'viewer', plugin: 'events:read' },
  getEventType: { role: 'viewer', plugin: 'self:read' },
  listEventSegments: { role: 'viewer' },
  listEventTypes: { role: 'viewer', plugin: 'self:read' },
  listEvents: { role: 'viewer', plugin: 'events:read' },
  putEventType: { role: 'editor' },
  receiveAutomationWebhook: { role: 'editor', plugin: 'events:publish', tenant: 'optional' },
  releaseEventSegment: { role: 'admin' },
  replayEvent: { role: 'editor', plugin: 'self:manage' },
  // execution
  cancelBulkChange: { role: 'editor' },
  cancelExecution: { role: 'editor' },
  cancelExecutions: { role: 'editor' },
  getBulkChange: { role: 'viewer' },
  getExecution: { role: 'viewer' },
  getFlowStats: { role: 'viewer' },
  getHaltState: { role: 'viewer' },
  haltAutomations: { role: 'admin' },
  listBulkChanges: { role: 'viewer' },
  listExecutions: { role: 'viewer' },
  listSetAsideEvents: { role: 'viewer' },
  resumeAutomations: { role: 'admin' },
  retryExecution: { role: 'editor' },
  retryExecutions: { role: 'editor' },
  streamExecution: { role: 'viewer' },
  takeUpSetAsideEvent: { role: 'editor' },
  // flow
  activateFlow: { role: 'editor' },
  catchUpFlow: { role: 'editor' },
  createFlow: { role: 'editor' },
  deactivateFlow: { role: 'editor' },
  deleteFlow: { role: 'editor' },
  duplicateFlow: { role: 'editor' },
  exportFlow: { role: 'editor' },
  getFlow: { role: 'viewer', plugin: 'flows:read' },
  getFlowVersion: { role: 'viewer', plugin: 'flows:read' },
  importFlow: { role: 'editor' },
  listFlowVersions: { role: 'viewer', plugin: 'flows:read' },
  listFlows: { role: 'viewer', plugin: 'flows:read' },
  listOperators: { role: 'viewer' },
  publishFlow: { role: 'editor' },
  replaceFlow: { role: 'editor' },
  runFlow: { role: 'editor' },
  testDefinition: { role: 'editor' },
  testFlow: { role: 'editor' },
  testFlowOnEvents: { role: 'editor' },
  validateFlow: { role: 'viewer' },
  // flow-template
  changeFlowTemplate: { role: 'editor' },
  createFlowTemplate: { role: 'editor' },
  deleteFlowTemplate: { role: 'editor' },
  getFlowTemplate: { role: 'viewer' },
  installFlowTemplate: { role: 'editor' },
  listFlowTemplates: { role: 'viewer' },
  // flow-trigger
  allowHooks: { role: 'public' },
  answerHookChallenge: { role: 'public' },
  previewSchedule: { role: 'viewer' },
  receiveHook: { role: 'public' },
  rotateInlet: { role: 'editor' },
  // key
  createKey: { role: 'admin', tenant: 'optional' },
  getKey: { role: 'admin', tenant: 'optional' },
  listKeys: { role: 'admin', tenant: 'optional' },
  revokeKey: { role: 'admin', tenant: 'optional' },
  // live
  streamChanges: { role: 'viewer', plugin: 'self:read' },
  // message
  getMessage: { role: 'viewer' },
  listMessages: { role: 'viewer' },
  // operation
  getOperation: { role: 'platform' },
  listTenants: { role: 'platform' },
  // platform
  getPlatformSettings: { role: 'admin' },
  setPlatformSettings: { role: 'platform' },
  // plugin
  deletePlugin: { role: 'admin' },
  getPlugin: { role: 'viewer', plugin: 'self:read' },
  listPlugins: { role: 'viewer', plugin: 'self:read' },
  patchPlugin: { role: 'editor', plugin: 'self:manage' },
  pausePlugin: { role: 'editor', plugin: 'self:manage' },
  registerPlugin: { role: 'editor' },
  replacePlugin: { role: 'editor' },
  resumePlugin: { role: 'editor', plugin: 'self:manage' },
  rotateSecret: { role: 'admin', plugin: 'self:manage' },
  testPlugin: { role: 'editor', plugin: 'self:manage' },
  testSubscriptions: { role: 'viewer', plugin: 'self:read' },
  // portal
  createPortalSession: { role: 'admin' },
  listPortalSessions: { role: 'admin' },
  revokePortalSessions: { role: 'admin' },
  // registry
  chooseActionOwner: { role: 'admin' },
  listActions: { role: 'viewer', plugin: 'self:read' },
  getPluginUsage: { role: 'viewer', plugin: 'self:read' },
  listPluginActions: { role: 'viewer', plugin: 'self:read' },
  registerActions: { role: 'editor', plugin: 'actions:offer' },
  // replay
  cancelRecovery: { role: 'editor', tenant: 'optional' },
  cancelReplay: { role: 'editor', plugin: 'self:manage' },
  createRecovery: { role: 'editor', tenant: 'optional' },
  createReplay: { role: 'editor', plugin: 'self:manage' },
  getRecovery: { role: 'viewer', tenant: 'optional' },
  getReplay: { role: 'viewer', plugin: 'self:read' },
  listRecoveredPlugins: { role: 'viewer', tenant: 'optional' },
  listRecoveries: { role: 'viewer', tenant: 'optional' },
  listReplays: { role: 'viewer', plugin: 'self:read' },
  // search
  search: { role: 'viewer', plugin: 'self:read' },
  // session
  createSession: { role: 'public' },
  endSession: { role: 'public' },
  getSession: { role: 'viewer', plugin: 'any', tenant: 'optional' },
  listSessions: { role: 'admin', tenant: 'optional' },
  revokeSession: { role: 'admin', tenant: 'optional' },
  // stats
  getActionStats: { role: 'viewer' },
  getDeliveryStats: { role: 'viewer', plugin: 'self:read' },
  getExecutionStats: { role: 'viewer' },
  getOverview: { role: 'viewer' },
  getPluginStats: { role: 'viewer', plugin: 'self:read' },
  // tenant
  changeTenant: { role: 'admin' },
  getTenant: { role: 'viewer' },
  getUsage: { role: 'viewer' },
  setQuotas: { role: 'platform' },
  // variable
  deleteVariable: { role: 'editor' },
  getVariable: { role: 'viewer' },
  listVariables: { role: 'viewer' },
  setVariable: { role: 'editor' },
  // webhook-delivery
  cancelDeliveryRetry: { role: 'editor', plugin: 'self:manage' },
  getDelivery: { role: 'viewer', plugin: 'self:read' },
  getDeliveryRetry: { role: 'viewer', plugin: 'self:read' },
  listDeliveries: { role: 'viewer', plugin: 'self:read' },
  listDeliveryRetries: { role: 'viewer', plugin: 'self:read' },
  processDeliveries: { role: 'editor' },
  retryDeliveries: { role: 'editor', plugin: 'self:manage' },
  retryDelivery: { role: 'editor', plugin: 'self:manage' },
}

/** Undefined: the operation is not known here, and its route says it itself. */
export function accessOf(operationId: unknown): Access | undefined {
  return typeof operationId === 'string' && Object.hasOwn(ACCESS, operationId)
    ? ACCESS[operationId]
    : undefined
}
