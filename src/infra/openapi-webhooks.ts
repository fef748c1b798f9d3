/** The `webhooks` section of the OpenAPI document: what a plugin receives. */
export function webhookDocuments(): Record<string, never> {
  return {}
}
