import type { Page } from 'playwright-core'

export interface Renderer {
  /** CPU time of the page's main thread so far, which does not depend on what else the machine does. */
  cpuMs: () => Promise<number>
  /** Measures the bytes that its scripts hold once the garbage is collected. */
  heldBytes: () => Promise<number>
}

/** Looks into the process of a page. */
export async function rendererOf(page: Page): Promise<Renderer> {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable', { timeDomain: 'threadTicks' })
  const metric = async (name: string): Promise<number> => {
    const { metrics } = await session.send('Performance.getMetrics')
    const found = metrics.find((each) => each.name === name)
    if (found === undefined) throw new Error(`the browser does not tell its ${name}`)
    return found.value
  }
  return {
    cpuMs: async () => (await metric('TaskDuration')) * 1_000,
    heldBytes: async () => {
      await session.send('HeapProfiler.collectGarbage')
      return metric('JSHeapUsedSize')
    },
  }
}

/** Counts what a page asks of the service at a path from now on, by `count()`; `accept` narrows it. */
export function countRequests(
  page: Page,
  path: string,
  accept: (url: URL, method: string) => boolean = () => true,
): () => number {
  let count = 0
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.pathname === path && accept(url, request.method())) count += 1
  })
  return () => count
}
