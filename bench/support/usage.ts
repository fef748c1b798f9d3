import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Ticks of /proc: the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** Fields of /proc/<pid>/stat behind the command's name, from 0 (proc(5)). */
const PARENT = 1
const USER = 11
const SYSTEM = 12
const CHILDREN_USER = 13
const CHILDREN_SYSTEM = 14

/** Resident memory of a process in MB. */
export async function residentMb(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return Number(stdout) / 1024
}

/** CPU seconds that a process has used; null where there is no /proc. */
export async function cpuSeconds(pid: number): Promise<number | null> {
  const fields = await statOf(pid)
  return fields === null ? null : ticks(fields, USER, SYSTEM)
}

/** CPU seconds of a Postgres server with all its backends, those that have ended included. */
export async function postgresCpuSeconds(folder: string | null): Promise<number | null> {
  if (folder === null) return null
  const postmaster = Number((await readFile(join(folder, 'postmaster.pid'), 'utf8')).split('\n')[0])
  for (;;) {
    const own = await statOf(postmaster)
    if (own === null) return null
    let seconds = ticks(own, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM)
    for (const fields of await childrenOf(postmaster)) seconds += ticks(fields, USER, SYSTEM)
    const after = await statOf(postmaster)
    // A backend that ended meanwhile is in neither sum.
    if (after?.[CHILDREN_USER] === own[CHILDREN_USER] && after?.[CHILDREN_SYSTEM] === own[CHILDREN_SYSTEM]) {
      return seconds
    }
  }
}

async function childrenOf(parent: number): Promise<string[][]> {
  const entries = await readdir('/proc')
  const processes = await Promise.all(
    entries.filter((entry) => /^\d+$/.test(entry)).map((entry) => statOf(Number(entry))),
  )
  return processes.filter((fields) => fields !== null && Number(fields[PARENT]) === parent) as string[][]
}

async function statOf(pid: number): Promise<string[] | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

function ticks(fields: readonly string[], ...places: readonly number[]): number {
  return places.reduce((sum, place) => sum + Number(fields[place]), 0) / TICKS_PER_SECOND
}
