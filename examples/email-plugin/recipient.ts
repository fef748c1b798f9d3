/** What a flow's action tells beside its payload: what started the flow. */
export interface ActionContext {
  trigger?: { data?: unknown }
}

const ADDRESS = /^[^\s@<>"]{1,64}@[^\s@<>"]{1,190}$/

/** Whom to write to: as the step says, or else the email of the customer whom the flow is about. Null: nobody knows. */
export function recipientOf(to: string | undefined, context: ActionContext | undefined): string | null {
  if (to !== undefined) return to
  const data = context?.trigger?.data
  if (typeof data !== 'object' || data === null) return null
  const { email, customer } = data as { email?: unknown; customer?: { email?: unknown } | null }
  const found = [email, customer?.email].find((each) => typeof each === 'string' && ADDRESS.test(each))
  return (found as string | undefined) ?? null
}
