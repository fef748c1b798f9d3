import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '#test/infra/app-on.ts'
import { noConsole, startConsole } from './support/console.ts'
import { rendererOf } from './support/measure.ts'
import { becomes, boxOf } from './support/wait.ts'

const STEPS = 500
const FEW = 50
const MOVES = 60
/** However large a flow is, so many of its cards are in the page at most. */
const MOUNTED_MAX = 40
/** How much more CPU a drag may cost in a flow of ten times the size. */
const CPU_RATIO = 6
const FLOWS = '/api/automation/flows'

t.setTimeout(300_000)

t.test('a flow of five hundred steps', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const create = async (count: number): Promise<string> => {
    const steps = Array.from({ length: count }, (_, index) => ({
      id: `s_${index}`,
      type: 'set',
      variables: { x: index },
      next: index + 1 < count ? `s_${index + 1}` : 'end',
    }))
    const flow = { name: `${count} steps`, status: 'active', triggers: [{ type: 'manual' }], steps }
    return (await call<{ id: string }>('POST', FLOWS, flow)).id
  }
  /** Once the canvas has its size: until then it cannot know which cards are seen. */
  const areFew = async (t: Test, page: Page): Promise<void> =>
    becomes(
      t,
      async () => {
        const count = await page.locator('.svelte-flow__node-step').count()
        return count > 0 && count <= MOUNTED_MAX ? 'few' : `${count} cards are in the page`
      },
      'few',
    )

  /** What it costs to drag a card about, before it is let go. */
  const drag = async (page: Page): Promise<number> => {
    const box = await boxOf(page.locator('[data-step="s_1"]'))
    const renderer = await rendererOf(page)
    await page.mouse.move(box.x + 40, box.y + 20)
    await page.mouse.down()
    const before = await renderer.cpuMs()
    await page.mouse.move(box.x - 60, box.y + 40, { steps: MOVES })
    const cost = (await renderer.cpuMs()) - before
    await page.mouse.up()
    return cost
  }

  const large = await create(STEPS)
  await t.test('is opened, dragged, searched and tidied as a small one', async (t) => {
    /** The first time is that of getting ready for it. */
    const dragAgain = async (page: Page): Promise<number> => {
      await page.locator('[data-step="s_1"]').waitFor()
      await drag(page)
      await page.keyboard.press('ControlOrMeta+z')
      await page.getByText(/^Undone: /).waitFor({ state: 'attached' })
      return drag(page)
    }
    const small = await visit(`/console/flows/${await create(FEW)}`)
    const usual = await dragAgain(small.page)
    await small.page.context().close()

    const { page, faults } = await visit(`/console/flows/${large}`)
    await page.locator('[data-step="s_1"]').waitFor()
    await becomes(t, async () => page.getByRole('treeitem').count(), STEPS, 'the outline has them all')
    await areFew(t, page)
    const cost = await dragAgain(page)
    t.ok(
      cost <= usual * CPU_RATIO,
      `${Math.round(cost)} ms of CPU, with ${FEW} steps ${Math.round(usual)} ms`,
    )
    await page.getByText('Draft saved').waitFor()
    const { definition } = await until(
      async () => call<{ definition: { layout?: { positions?: object } } }>('GET', `${FLOWS}/${large}`),
      ({ definition: now }) => now.layout !== undefined,
    )
    t.same(Object.keys(definition.layout?.positions ?? {}), ['s_1'])

    await page.keyboard.press('ControlOrMeta+f')
    await page.getByRole('searchbox', { name: 'Find in the flow' }).fill('s_499')
    await page.locator('[data-step="s_499"]').waitFor()
    await areFew(t, page)
    await page.keyboard.press('Escape')
    await page.keyboard.press('Shift+Alt+T')
    await page.getByText('Tidy the cards').waitFor({ state: 'attached' })
    t.same(faults, [])
    await page.context().close()
  })

  t.test('is run, and its run is painted', async (t) => {
    const { execution_id: run } = await call<{ execution_id: string }>('POST', `${FLOWS}/${large}/run`, {
      input: {},
    })
    await until(
      async () => call<{ status: string }>('GET', `/api/automation/executions/${run}`),
      ({ status }) => status === 'completed',
    )
    const { page, faults } = await visit(`/console/runs/${run}`)
    await page.locator('.flow-card.good').first().waitFor()
    await areFew(t, page)
    t.same(faults, [])
  })
})
