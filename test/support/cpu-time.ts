/**
 * Starts a measurement of this thread's CPU time, which does not depend on what else the machine does.
 * @returns a function that tells how many milliseconds the thread has used since
 */
export function cpuTimer(): () => number {
  const before = process.threadCpuUsage()
  return () => {
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1_000
  }
}
