import { defineProblem } from '#lib/api/problem.ts'

export const auditEntryNotFound = defineProblem(
  'audit_entry_not_found',
  404,
  'There is no such entry of the audit log',
  'Check the id: GET /api/audit-log lists the entries of the tenant, or those above all tenants without X-Tenant-Id. Those of what was done without a change are removed after RETENTION_DAYS.',
)
