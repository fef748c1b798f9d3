/** The part of the browser's `Storage` that the console uses. */
interface PageStorage {
  getItem(key: string): string | null
  /** @throws where there is no room for it */
  setItem(key: string, value: string): void
  removeItem(key: string): void
  /** Returns the names of all that is stored. */
  keys(): string[]
}

/** What this browser remembers of the console: theme, language. */
export const local = storageOf('localStorage')
/** What this tab of the browser remembers until it is closed. */
export const tab = storageOf('sessionStorage')

/** A page within another site's gets no storage from many browsers: they throw where it is read. Memory stands in for it then. */
function storageOf(name: 'localStorage' | 'sessionStorage'): PageStorage {
  try {
    const storage = window[name]
    return {
      getItem: (key) => storage.getItem(key),
      setItem: (key, value) => storage.setItem(key, value),
      removeItem: (key) => storage.removeItem(key),
      keys: () => Object.keys(storage),
    }
  } catch {
    const values = new Map<string, string>()
    return {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => void values.set(key, value),
      removeItem: (key) => void values.delete(key),
      keys: () => [...values.keys()],
    }
  }
}
