import { etagOf, type PluginRef } from './change-service.ts'

/** The plugin that a request is to change, and the revision that it was read at. */
export function pluginRefOf(request: {
  tenantId: string
  params: { slug: string }
  headers: { 'if-match'?: string }
}): PluginRef {
  const { tenantId, params, headers } = request
  return { tenantId, slug: params.slug, ifMatch: headers['if-match'] }
}

/** Answers with a plugin and its revision's ETag. */
export function withEtag<P extends { revision: number }>(
  reply: { header: (name: 'etag', value: string) => unknown },
  plugin: P,
): P {
  reply.header('etag', etagOf(plugin.revision))
  return plugin
}
