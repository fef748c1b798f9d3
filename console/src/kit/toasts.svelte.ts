export interface Toast {
  id: number
  text: string
  tone: 'good' | 'bad'
  /** The page of the thing that was made. */
  href?: string
}

const SHOWN_MS = 6_000
let last = 0

class Toasts {
  shown = $state<Toast[]>([])

  add(text: string, tone: Toast['tone'] = 'good', href?: string): void {
    last += 1
    const id = last
    this.shown.push({ id, text, tone, ...(href !== undefined && { href }) })
    setTimeout(() => this.remove(id), SHOWN_MS)
  }

  remove(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id)
  }
}

export const toasts = new Toasts()
