import { resolve } from 'node:path'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

/** `npm run console` serves the sources with reload, and passes on to the service what is not the console's. */
const SERVICE = 'http://127.0.0.1:3000'

export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  plugins: [svelte()],
  // The compiler and the renderer of the service, which the builder runs, know how long texts are by Node.
  resolve: { alias: { 'node:buffer': resolve(import.meta.dirname, 'src/flow/buffer.ts') } },
  worker: { format: 'es' },
  build: {
    outDir: 'dist',
    // What loads what, for the budgets (test/console/budget.test.ts).
    manifest: 'manifest.json',
    emptyOutDir: true,
    target: 'es2024',
    // The content security policy has no data: for scripts and fonts, and preloads are native where it is kept.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 5173,
    proxy: Object.fromEntries(['/api', '/docs', '/health'].map((path) => [path, SERVICE])),
  },
})
