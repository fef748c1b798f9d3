const HOST_AND_PORT = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/

/** Tells whether values of a connection may be sent to this URL. */
export function allowsHost(hosts: readonly string[], url: string): boolean {
  const target = URL.parse(url)
  if (target === null) return false
  const usual = target.protocol === 'https:' ? '443' : '80'
  const wanted = target.port === '' ? usual : target.port
  return hosts.some((allowed) => {
    const [, name = '', port = usual] = HOST_AND_PORT.exec(allowed) ?? []
    if (port !== wanted) return false
    return name.startsWith('*.') ? target.hostname.endsWith(name.slice(1)) : target.hostname === name
  })
}
