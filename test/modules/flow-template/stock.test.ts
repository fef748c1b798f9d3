import t from 'tap'
import { DAY_MS, type PlatformAutomation, startPlatformWorld } from './support.ts'

const world = await startPlatformWorld(t)

interface Task {
  title: string
  description: string
  due_date: string
  priority: string
  assignee: string | null
}

async function newProduct(shop: PlatformAutomation, fields: object): Promise<string> {
  const product = await shop.ask('POST', '/api/products', {
    name: 'Apron',
    price: 39.9,
    stock: 9,
    ...fields,
  })
  return product['product_id'] as string
}

t.test('a product that runs low makes a task to reorder it', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('low_stock_task', { due_days: 4, assignee: 'rita' })
  const apron = await newProduct(shop, { sku: 'APR-1' })
  await shop.ask('PUT', `/api/products/${apron}`, { stock: 6 })
  await shop.settle()
  t.same(await shop.rows('tasks'), [], 'not above the threshold')

  await shop.ask('PUT', `/api/products/${apron}`, { stock: 3 })
  await shop.settle()
  const [task] = await shop.rows<Task>('tasks')
  t.match(task, {
    title: 'Reorder Apron',
    description: `In stock: 3. Product: ${apron}.`,
    priority: 'high',
    assignee: 'rita',
  })
  const dueIn = Date.parse(task?.due_date ?? '') - shop.now().getTime()
  t.ok(Math.abs(dueIn - 4 * DAY_MS) < 60_000, `due ${task?.due_date ?? 'never'}`)
  t.same(await shop.outcomes(flow), ['completed/done'])
})

t.test('a product needs no SKU, and nobody has the task unless it is said who', async (t) => {
  const shop = await world.open()
  await shop.install('low_stock_task')
  const apron = await newProduct(shop, {})
  await shop.ask('PUT', `/api/products/${apron}`, { stock: 1 })
  await shop.settle()
  t.match(await shop.rows('tasks'), [{ title: 'Reorder Apron', assignee: null }])
})

t.test('a product that runs low again makes no other task within the quiet days', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('low_stock_task', { quiet_days: 3 })
  const [apron, cap] = [
    await newProduct(shop, { sku: 'APR-1' }),
    await newProduct(shop, { sku: 'CAP-1', name: 'Cap' }),
  ]
  const runLow = async (product: string): Promise<void> => {
    await shop.ask('PUT', `/api/products/${product}`, { stock: 9 })
    await shop.ask('PUT', `/api/products/${product}`, { stock: 2 })
    await shop.settle()
  }
  await runLow(apron)
  await shop.after(2 * DAY_MS)
  await runLow(apron)
  await runLow(cap)
  t.match(await shop.rows('tasks'), [{ title: 'Reorder Apron' }, { title: 'Reorder Cap' }])
  await shop.after(1.1 * DAY_MS)
  await runLow(apron)
  t.match(await shop.rows('tasks'), [{}, {}, { title: 'Reorder Apron' }])
  t.same(await shop.outcomes(flow), [
    'completed/done',
    'skipped/reentered_too_soon',
    'completed/done',
    'completed/done',
  ])
})

t.test('a text that looks like a template is taken as it is', async (t) => {
  const shop = await world.open()
  await shop.install('low_stock_task', { assignee: '{{trigger.product_id}}' })
  const apron = await newProduct(shop, {})
  await shop.ask('PUT', `/api/products/${apron}`, { stock: 1 })
  await shop.settle()
  t.match(await shop.rows('tasks'), [{ assignee: '{{trigger.product_id}}' }])
})
