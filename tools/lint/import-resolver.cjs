/**
 * Resolves imports for eslint-plugin-boundaries as Node does, the `#` imports of package.json included: its own
 * resolver does not know those.
 */
const { createRequire } = require('node:module')

exports.interfaceVersion = 2

/**
 * @param {string} source as written in the import
 * @param {string} file the importing file; it need not exist
 * @returns {{ found: true, path: string } | { found: false }}
 */
exports.resolve = (source, file) => {
  if (!source.startsWith('#')) return { found: false }
  try {
    return { found: true, path: createRequire(file).resolve(source) }
  } catch {
    return { found: false }
  }
}
