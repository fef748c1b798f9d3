import { type Calendar, calendarOf } from '#lib/calendar.ts'
import { besideTrigger, type EventScope, type FlowScope, type HookRequest } from '#lib/flow/scope.ts'
import type { StepId } from '#lib/flow/types.ts'
import { zoneOfSchedules } from '#lib/flow/zone.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import type { Program } from './program.ts'
import type { ExecutionState, Thread } from './state.ts'

type Outputs = Record<StepId, { output: unknown }>

/** The trigger of an execution, as its row keeps it. */
export interface StoredTrigger {
  data: unknown
  event: EventScope | null
  /** Of a webhook. */
  request?: HookRequest
}

/**
 * Builds what templates and conditions of one execution start from. Outputs are kept, not gathered for every step: a step
 * costs the same in a flow of 10 steps and in one of 500.
 */
export class ScopeBuilder {
  readonly #base: Pick<FlowScope, 'trigger' | 'beside' | 'event' | 'tenant' | 'execution' | 'zone'>
  readonly #main: Outputs = {}
  readonly #items = new Map<string, Outputs>()
  readonly calendar: Calendar
  /** The values that items of the loop under way have collected, by iteration. */
  readonly collected = new Map<string, unknown>()

  constructor(
    claim: ClaimedExecution,
    program: Program,
    outputs: readonly { step_id: string; iteration: string; output: unknown }[],
  ) {
    this.calendar = calendarOf(claim.calendar)
    const trigger = claim.trigger as unknown as StoredTrigger
    this.#base = {
      trigger: trigger.data,
      event: trigger.event,
      ...besideTrigger(trigger.data, trigger.request),
      tenant: { id: claim.tenant_id, time_zone: this.calendar.time_zone },
      execution: {
        id: claim.id,
        flow_id: claim.flow_id,
        flow_name: program.flowName,
        version: claim.version,
        started_at: new Date(claim.created_at_ms).toISOString(),
        error: null,
      },
    }
    const zone = claim.trigger_kind === 'schedule' ? zoneOfSchedules(program.flow.triggers) : null
    if (zone !== null) this.#base.zone = zone
    for (const { step_id, iteration, output } of outputs) {
      if (iteration === '') this.#main[step_id] = { output }
      else if (step_id === claim.state.loop?.step) this.collected.set(iteration, output)
      else this.#outputsOf(iteration)[step_id] = { output }
    }
  }

  of(thread: Thread, state: ExecutionState): FlowScope {
    const scope: FlowScope = {
      ...this.#base,
      execution: { ...this.#base.execution, error: state.error ?? thread.caught ?? null },
      steps: thread.iteration === '' ? this.#main : this.#outputsOf(thread.iteration),
      variables: thread.variables,
    }
    if (thread.iteration !== '') scope.item = state.loop?.items[Number(thread.iteration)]
    return scope
  }

  setOutput(thread: Thread, stepId: StepId, output: unknown): void {
    const outputs = thread.iteration === '' ? this.#main : this.#outputsOf(thread.iteration)
    outputs[stepId] = { output }
  }

  /** Drops what the steps of an item gave: it is done, and they are not asked for again. */
  forget(iteration: string): void {
    this.#items.delete(iteration)
  }

  #outputsOf(iteration: string): Outputs {
    let outputs = this.#items.get(iteration)
    if (outputs === undefined) this.#items.set(iteration, (outputs = { ...this.#main }))
    return outputs
  }
}
