import type { CanonicalFlow, CanonicalStep } from '#lib/flow/index.ts'

export interface Walk {
  visited: string[]
  /** Results that a step read before they were there. */
  missing: string[]
}

/**
 * Goes through a flow as an execution would, by the ports that `choose` picks; throws when it does not come to an
 * end within as many steps as the flow has, or comes to a step that does not exist.
 */
export function walk(flow: CanonicalFlow, choose: (options: number) => number): Walk {
  const result: Walk = { visited: [], missing: [] }
  run(flow, flow.start, new Set(), choose, result, null)
  return result
}

function run(
  flow: CanonicalFlow,
  start: string,
  succeeded: Set<string>,
  choose: (options: number) => number,
  result: Walk,
  loop: string | null,
): void {
  let inHandlers = false
  let budget = Object.keys(flow.steps).length
  for (let id = start; id !== 'end';) {
    const step = flow.steps[id]
    if (!step) throw new Error(`no step "${id}"`)
    if (budget-- === 0) throw new Error('does not end')
    if (step.loop !== loop && !step.handler) throw new Error(`"${id}" is not in the body of "${loop ?? ''}"`)
    result.visited.push(id)
    for (const read of readsOf(step)) if (!succeeded.has(read)) result.missing.push(`${id} reads ${read}`)

    if (step.type === 'for_each') run(flow, step.config.body, new Set(succeeded), choose, result, id)
    if (step.type === 'stop') return
    const next: Partial<Record<string, string>> = step.next
    // An error that no port takes, of any step.
    const ports = [...Object.keys(next), 'unhandled error']
    const port = ports[choose(ports.length)] ?? ''
    if (port !== 'error' && port !== 'timeout' && port !== 'unhandled error') succeeded.add(id)
    const handler = inHandlers || step.handler ? undefined : flow.handlers[0]
    id = next[port] ?? handler ?? 'end'
    if (port === 'unhandled error') inHandlers = true
  }
}

function readsOf(step: CanonicalStep): string[] {
  return [...JSON.stringify(step.config).matchAll(/steps\.(\w+)\.output/g)].map(([, id]) => String(id))
}
