/** `example.com.` and `example.com` are one host to every rule and certificate. */
export function withoutTrailingDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
}
