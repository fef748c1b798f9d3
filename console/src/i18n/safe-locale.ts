/**
 * Has the browser's language be one that Intl takes. A browser under a POSIX locale calls it en-US@posix, of which Intl
 * throws; libraries that format by it do so while they are loaded. It comes before all that may read it.
 */
if (!isKnown(navigator.language)) {
  Object.defineProperty(navigator, 'language', { configurable: true, get: () => 'en' })
}

function isKnown(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length > 0
  } catch {
    return false
  }
}
