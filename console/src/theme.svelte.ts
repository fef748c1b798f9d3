import { local } from './storage.ts'

export type Theme = 'system' | 'light' | 'dark'

const STORED = 'bcs.theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

class ThemeChoice {
  choice = $state<Theme>((local.getItem(STORED) as Theme | null) ?? 'system')
  #systemIsDark = $state(dark.matches)

  constructor() {
    dark.addEventListener('change', ({ matches }) => {
      this.#systemIsDark = matches
      this.apply()
    })
    this.apply()
  }

  get shown(): 'light' | 'dark' {
    if (this.choice !== 'system') return this.choice
    return this.#systemIsDark ? 'dark' : 'light'
  }

  choose(theme: Theme): void {
    this.choice = theme
    local.setItem(STORED, theme)
    this.apply()
  }

  apply(): void {
    document.documentElement.dataset['theme'] = this.shown
  }
}

export const theme = new ThemeChoice()
