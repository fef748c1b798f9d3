import { Session } from 'node:inspector/promises'
import t from 'tap'
import { copySteps, duplicateSteps, pasteSteps, readClip } from '#console/src/flow/commands/copy.ts'
import { type FlowDocument, graphOf, openDocument } from '#console/src/flow/document.ts'

/** Twice, and a little for what is sorted. What is quadratic takes four times as much. */
const LINEAR = 2.4
const [FEW, MANY] = [60, 120]

/** Each step reads the one before it, in a text of the same length however many there are. */
function chain(count: number): FlowDocument {
  const steps = Array.from({ length: count }, (_, index) => ({
    id: `s${index}`,
    type: 'set',
    variables: { x: `{{ steps.s${index - 1}.output.x | default: 1 }} and some more` },
  }))
  return openDocument({ trigger: { type: 'manual' }, steps })
}

/** The steps of the chain, none of which leads to another. */
function apart(count: number): FlowDocument {
  const steps = chain(count).definition['steps'] as object[]
  return openDocument({ trigger: { type: 'manual' }, steps: steps.map((step) => ({ ...step, next: 'end' })) })
}

/** Counts the calls of functions in our own code: work, which is the same on every machine. */
async function workOf(act: () => unknown): Promise<number> {
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
    act()
    const { result } = await session.post('Profiler.takePreciseCoverage')
    const own = result.filter(({ url }) => /\/(console\/)?src\//.test(url) && !url.includes('node_modules'))
    const counts = own.flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges))
    return counts.reduce((sum, { count }) => sum + count, 0)
  } finally {
    session.disconnect()
  }
}

const all = (document: FlowDocument): string[] => [...graphOf(document).steps.keys()]

/**
 * Returns how many times as much work twice as many steps are. The graph of a document is read once and kept with it, as
 * the builder has done before it copies.
 */
async function growth(documentOf: (count: number) => FlowDocument, act: (document: FlowDocument) => unknown) {
  const work: number[] = []
  act(documentOf(FEW))
  for (const count of [FEW, MANY]) {
    const document = documentOf(count)
    graphOf(document)
    work.push(await workOf(() => act(document)))
  }
  const [few = 1, many = 1] = work
  t.comment(`${few} for ${FEW} steps, ${many} for ${MANY}`)
  return many / few
}

t.test('twice as many steps cost twice as much to copy, to paste and to duplicate', async (t) => {
  const paste = (document: FlowDocument): FlowDocument => {
    const clip = readClip(copySteps(document, all(document)), JSON.parse)
    if (clip === null) throw new Error('there are no steps')
    return pasteSteps(clip, { at: 'after', step: 'q' })(
      openDocument({ trigger: { type: 'manual' }, steps: [{ id: 'q', type: 'set', variables: { x: 1 } }] }),
    )
  }
  const duplicate = (document: FlowDocument): FlowDocument => duplicateSteps(all(document))(document)
  for (const [what, documentOf] of Object.entries({ chain, apart })) {
    t.equal(graphOf(paste(documentOf(FEW))).steps.size, FEW + 1)
    t.equal(graphOf(duplicate(documentOf(FEW))).steps.size, 2 * FEW)
    t.ok((await growth(documentOf, paste)) < LINEAR, `paste, ${what}`)
    t.ok((await growth(documentOf, duplicate)) < LINEAR, `duplicate, ${what}`)
  }
})
