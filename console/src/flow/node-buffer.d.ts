/** What buffer.ts stands in for. */
declare module 'node:buffer' {
  export const Buffer: { byteLength(text: string): number }
}
