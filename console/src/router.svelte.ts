/** The part of the address below /console, and its query: the state of every page. */
export const BASE = '/console'

class Router {
  path = $state(currentPath())
  query = $state(new URLSearchParams(location.search))
  /** What leaving would lose, in words; null: nothing. Asked before another page is shown. */
  unsaved: string | null = null
  #href = location.href
  /** The paths of what was deleted here, each with the page that is shown instead of it. */
  readonly #gone = new Map<string, string>()

  go(href: string, options: { replace?: boolean } = {}): void {
    const url = new URL(href, location.href)
    const stays = url.pathname === location.pathname
    // Another tab of the same page also leaves what was typed in this one.
    const isLeft = !stays || url.searchParams.get('tab') !== this.query.get('tab')
    if (isLeft && this.unsaved !== null && !confirm(this.unsaved)) return
    // Something of that name may be there anew.
    this.#gone.delete(pathOf(url.pathname))
    if (options.replace === true) history.replaceState(null, '', url)
    else history.pushState(null, '', url)
    this.read()
    if (!stays) scrollTo(0, 0)
  }

  /**
   * Leaves the page of what was deleted, for the list of the others. Whoever goes back does not meet it again.
   *
   * @param path was shown when the deletion was asked for; who has gone elsewhere since stays there
   */
  leaveDeleted(path: string, href: string): void {
    if (this.path === path) {
      this.unsaved = null
      this.go(href, { replace: true })
    }
    this.#gone.set(path, href)
  }

  /** Sets and (by null or an empty text) removes parameters of the address. */
  setQuery(changes: Readonly<Record<string, string | null>>): void {
    const query = new URLSearchParams(this.query)
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === '') query.delete(name)
      else query.set(name, value)
    }
    const text = query.toString()
    this.go(`${location.pathname}${text === '' ? '' : `?${text}`}`, { replace: true })
  }

  /** The browser has gone back or forward by itself. */
  move(): void {
    if (this.unsaved !== null && !confirm(this.unsaved)) {
      history.pushState(null, '', this.#href)
      return
    }
    const instead = this.#gone.get(currentPath())
    if (instead !== undefined) history.replaceState(null, '', instead)
    this.read()
  }

  read(): void {
    this.#href = location.href
    this.path = currentPath()
    this.query = new URLSearchParams(location.search)
  }
}

export const router = new Router()

addEventListener('popstate', () => router.move())
addEventListener('beforeunload', (event) => {
  // The browser asks in its own words.
  if (router.unsaved !== null) event.preventDefault()
})
// Links are links: they open in new tabs, can be copied, and only a plain click stays in the page.
document.addEventListener('click', (event) => {
  const link = (event.target as Element).closest('a')
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey
  if (link === null || !isPlain || event.defaultPrevented) return
  if (link.target !== '' || link.hasAttribute('download') || link.origin !== location.origin) return
  if (link.pathname !== BASE && !link.pathname.startsWith(`${BASE}/`)) return
  event.preventDefault()
  router.go(link.href)
})

function currentPath(): string {
  return pathOf(location.pathname)
}

/** The part of a path below /console. */
function pathOf(pathname: string): string {
  const path = pathname.slice(BASE.length).replace(/\/+$/, '')
  return path === '' ? '/' : path
}

/** The address of a page: `to('/plugins/:slug', { slug })`, with a query if there is one. */
export function to(pattern: string, params: Readonly<Record<string, string>> = {}, query = {}): string {
  const path = pattern.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams(query).toString()
  return `${BASE}${path === '/' ? '' : path}${search === '' ? '' : `?${search}`}`
}

/** The parameters of a path that the pattern takes, or null. */
export function matchPath(pattern: string, path: string): Record<string, string> | null {
  const parts = pattern.split('/')
  const given = path.split('/')
  if (parts.length !== given.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of parts.entries()) {
    const value = given[index] ?? ''
    if (part.startsWith(':')) {
      try {
        params[part.slice(1)] = decodeURIComponent(value)
      } catch {
        return null
      }
    } else if (part !== value) return null
  }
  return params
}
