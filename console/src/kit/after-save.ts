/**
 * Returns what a form holds once it was saved: what the service has stored, but where something else was written while
 * that was under way.
 *
 * @param sent what the form held when it was sent
 */
export function afterSave<Form extends object>(now: Form, sent: Form, stored: Form): Form {
  const [then, kept] = [
    new Map<string, unknown>(Object.entries(sent)),
    new Map<string, unknown>(Object.entries(now)),
  ]
  const members = Object.entries(stored).map(([name, value]: [string, unknown]) => {
    const isSame = JSON.stringify(kept.get(name)) === JSON.stringify(then.get(name))
    return [name, isSame ? value : kept.get(name)]
  })
  return Object.fromEntries(members) as Form
}
