import type { Schema } from '../../../api/client.ts'
import type { CardState, Painting } from '../../../canvas/painting.ts'
import { NOTHING } from '../../../canvas/painting.ts'
import type { FlowGraph } from '../../../flow/graph.ts'
import { dateTime, number } from '../../../i18n/format.ts'
import { words } from '../../../i18n/words.svelte.ts'
import { paint } from '../../run/paint.ts'
import { kindOfMock, type Mock, partsOfKey } from './mocks.svelte.ts'

type Step = Schema['FlowTest']['steps'][number]

const w = words({
  en: {
    tries: (count: number) => `${number(count)} tries`,
    items: (failed: number, all: number) =>
      failed === 0 ? `${number(all)} items` : `${number(failed)} of ${number(all)} failed`,
    action: (action: string) => `would call ${action}`,
    message: (to: string) => `would be sent to ${to}`,
    http: (request: string) => `would ask ${request}`,
    wait: (until: string) => `would wait until ${until}`,
    error: (code: string) => `mock: error ${code}`,
    output: 'mock: answer',
    event: 'mock: event',
    ofItem: (item: string, mock: string) => `item ${item}, ${mock}`,
  },
  de: {
    tries: (count: number) => `${number(count)} Versuche`,
    items: (failed: number, all: number) =>
      failed === 0 ? `${number(all)} Elemente` : `${number(failed)} von ${number(all)} gescheitert`,
    action: (action: string) => `riefe ${action} auf`,
    message: (to: string) => `ginge an ${to}`,
    http: (request: string) => `fragte ${request}`,
    wait: (until: string) => `wartete bis ${until}`,
    error: (code: string) => `Vorgabe: Fehler ${code}`,
    output: 'Vorgabe: Antwort',
    event: 'Vorgabe: Ereignis',
    ofItem: (item: string, mock: string) => `Element ${item}, ${mock}`,
  },
})

/** What a test has come to, or nothing yet, with the mocks that the next one will be told. */
export function paintTest(
  graph: FlowGraph,
  result: Schema['FlowTest'] | null,
  mocks: Readonly<Record<string, Mock>>,
): Painting {
  const done = result === null ? NOTHING : paintResult(graph, result)
  const cards = new Map(done.cards)
  for (const [key, mock] of Object.entries(mocks)) {
    const { step, item } = partsOfKey(key)
    if (!graph.steps.has(step)) continue
    const state: CardState = cards.get(step) ?? { status: 'mocked', note: null, isUnmet: true }
    const text = item === '' ? mockText(mock) : w.ofItem(item, mockText(mock))
    cards.set(step, { ...state, note: joined([text, state.note]) })
  }
  return { ...done, cards }
}

function paintResult(graph: FlowGraph, { steps, start }: Schema['FlowTest']): Painting {
  const done = paint(graph, steps, [], start.trigger ?? '', { tries: w.tries, failedItems: w.items })
  const cards = new Map(done.cards)
  for (const { step_id: id, would } of steps) {
    const state = done.cards.get(id)
    if (state !== undefined && would !== null) {
      cards.set(id, { ...state, note: joined([state.note, wouldText(would)]) })
    }
  }
  return { ...done, cards }
}

function wouldText(would: NonNullable<Step['would']>): string {
  switch (would.kind) {
    case 'action':
      return w.action(would.action_type ?? '')
    case 'message':
      return w.message(would.to ?? '?')
    case 'http':
      return w.http(`${would.method ?? ''} ${would.url ?? ''}`.trim())
    case 'wait':
      return would.until === undefined ? '' : w.wait(dateTime(new Date(would.until)))
  }
}

function mockText(mock: Mock): string {
  const kind = kindOfMock(mock)
  if (kind === 'error') return w.error(mock.error?.code ?? '')
  return kind === 'event' ? w.event : w.output
}

function joined(parts: readonly (string | null)[]): string | null {
  const said = parts.filter((part) => part !== null && part !== '')
  return said.length === 0 ? null : said.join(' · ')
}
