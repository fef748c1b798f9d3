export interface DiffLine {
  left: string | null
  right: string | null
  isChanged: boolean
}

/** Beyond it what lies between the common beginning and end counts as changed altogether. */
const MAX_CELLS = 4_000_000

/** Two texts line by line, side by side: what both have stands in one row. */
export function diffLines(left: readonly string[], right: readonly string[]): DiffLine[] {
  let start = 0
  while (start < left.length && start < right.length && left[start] === right[start]) start++
  let end = 0
  const most = Math.min(left.length, right.length) - start
  while (end < most && left[left.length - 1 - end] === right[right.length - 1 - end]) end++
  const same = (lines: readonly string[]): DiffLine[] =>
    lines.map((line) => ({ left: line, right: line, isChanged: false }))
  return [
    ...same(left.slice(0, start)),
    ...diffMiddle(left.slice(start, left.length - end), right.slice(start, right.length - end)),
    ...same(left.slice(left.length - end)),
  ]
}

function diffMiddle(left: readonly string[], right: readonly string[]): DiffLine[] {
  if (left.length * right.length > MAX_CELLS) return paired(left, right)
  // Length of the longest common part of what is left from each place on.
  const width = right.length + 1
  const lengths = new Uint16Array((left.length + 1) * width)
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        left[i] === right[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines: DiffLine[] = []
  let [gone, come]: [string[], string[]] = [[], []]
  const flush = (): void => {
    lines.push(...paired(gone, come))
    gone = []
    come = []
  }
  let i = 0
  let j = 0
  while (i < left.length || j < right.length) {
    const [one, other] = [left[i], right[j]]
    if (one !== undefined && one === other) {
      flush()
      lines.push({ left: one, right: one, isChanged: false })
      i++
      j++
    } else if (other === undefined || (one !== undefined && at(i + 1, j) >= at(i, j + 1))) {
      gone.push(one ?? '')
      i++
    } else {
      come.push(other)
      j++
    }
  }
  flush()
  return lines
}

function paired(gone: readonly string[], come: readonly string[]): DiffLine[] {
  return Array.from({ length: Math.max(gone.length, come.length) }, (_, index) => ({
    left: gone[index] ?? null,
    right: come[index] ?? null,
    isChanged: true,
  }))
}

/** Runs of unchanged lines beyond some around each change, as how many they are. */
export function folded(lines: readonly DiffLine[], around = 3): (DiffLine | number)[] {
  const isNear = lines.map((_, index) =>
    lines.slice(Math.max(0, index - around), index + around + 1).some(({ isChanged }) => isChanged),
  )
  const rows: (DiffLine | number)[] = []
  for (const [index, line] of lines.entries()) {
    const last = rows.at(-1)
    if (isNear[index] === true) rows.push(line)
    else if (typeof last === 'number') rows[rows.length - 1] = last + 1
    else rows.push(1)
  }
  return rows
}
