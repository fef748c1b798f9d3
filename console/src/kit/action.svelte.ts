import { toProblem, type ApiProblem } from '../api/problem.ts'
import { refresh } from '../api/queries.ts'
import { toasts } from './toasts.svelte.ts'

interface ActionOptions<T> {
  /** Said when it has worked. */
  done?: string | ((result: T) => string)
  /** The queries to read anew, by the first words of their keys; by default all that are shown. */
  refreshes?: readonly string[]
}

/** Something that a person does: at most once at a time, with its outcome. */
export interface Action {
  readonly isBusy: boolean
  readonly error: ApiProblem | null
  /** True: it has worked. */
  run(): Promise<boolean>
  /** Forgets what went wrong, when its form is opened again. */
  reset(): void
}

/** A failure stands in `error` for the form that shows it, and in a toast where nothing shows it (`notify`). */
export function action<T>(
  work: () => Promise<T>,
  { done, refreshes, notify = false }: ActionOptions<T> & { notify?: boolean } = {},
): Action {
  let isBusy = $state(false)
  let error = $state<ApiProblem | null>(null)
  return {
    get isBusy() {
      return isBusy
    },
    get error() {
      return error
    },
    reset() {
      error = null
    },
    async run() {
      if (isBusy) return false
      isBusy = true
      error = null
      try {
        const result = await work()
        await refresh(refreshes)
        if (done !== undefined) toasts.add(typeof done === 'string' ? done : done(result))
        return true
      } catch (caught) {
        error = toProblem(caught)
        if (notify) toasts.add(error.message, 'bad')
        return false
      } finally {
        isBusy = false
      }
    },
  }
}
