import type { Change } from './change.ts'
import { conflict } from './errors.ts'

const LOW_STOCK = 5

interface StockRow {
  sku: string | null
  name: string
  stock: number | null
}

/** Products whose stock is null are not counted. */
export function setStock(trx: Change, productId: string, available: number): void {
  const row = stockOf(trx, productId)
  if (row === undefined || row.stock === available) return
  trx.db.update('products', trx.tenantId, productId, { stock: available, updated_at: trx.now })
  const facts = {
    product_id: productId,
    name: row.name,
    sku: row.sku,
    location: null,
    available,
    updated_at: trx.now,
  }
  const previous = row.stock ?? 0
  trx.emit('inventory.updated', { ...facts, previous })
  // Said once, when the threshold is crossed, and not again with every sale below it.
  if (available <= LOW_STOCK && previous > LOW_STOCK) {
    trx.emit('inventory.low', { ...facts, threshold: LOW_STOCK })
  }
  if (available === 0) trx.emit('inventory.out', facts)
}

/** @throws `out_of_stock` when fewer than `quantity` are there */
export function takeStock(trx: Change, productId: string, quantity: number): void {
  const row = stockOf(trx, productId)
  if (row === undefined || row.stock === null) return
  if (row.stock < quantity) {
    throw conflict('out_of_stock', `Of “${row.name}” there are ${row.stock} left, not ${quantity}.`)
  }
  setStock(trx, productId, row.stock - quantity)
}

export function returnStock(trx: Change, productId: string, quantity: number): void {
  const row = stockOf(trx, productId)
  if (row === undefined || row.stock === null) return
  setStock(trx, productId, row.stock + quantity)
}

function stockOf({ db, tenantId }: Change, productId: string): StockRow | undefined {
  return db.find<StockRow>('products', 'sku, name, stock', tenantId, productId)
}
