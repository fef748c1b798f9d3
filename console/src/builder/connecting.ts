import type { Connecting } from '../canvas/state.svelte.ts'
import { connectFault, connectFaults } from '../flow/commands/connect.ts'
import type { StructureCode } from '../flow/commands/faults.ts'
import { END } from '../flow/graph.ts'
import { words } from '../i18n/words.svelte.ts'
import { toasts } from '../kit/toasts.svelte.ts'
import type { Editor } from './editor.svelte.ts'
import type { StepEdits } from './step-edits.ts'

const w = words({
  en: {
    circle: 'That would lead in a circle.',
    leavesHandlers: 'From the error handlers no way leads back into the flow.',
    loopHandler: 'A loop cannot be an error handler.',
    entered: 'Steps of a loop are reached through the loop only.',
    nested: 'A loop cannot stand in a loop.',
    none: 'No way can lead there.',
  },
  de: {
    circle: 'Das würde im Kreis führen.',
    leavesHandlers: 'Aus dem Fehlerpfad führt kein Weg zurück in den Ablauf.',
    loopHandler: 'Eine Schleife kann nicht im Fehlerpfad stehen.',
    entered: 'Schritte einer Schleife erreicht man nur durch die Schleife.',
    nested: 'Eine Schleife kann nicht in einer Schleife stehen.',
    none: 'Dorthin kann kein Weg führen.',
  },
})

const REASONS: Readonly<Partial<Record<StructureCode, keyof typeof w>>> = {
  cycle: 'circle',
  handler_cycle: 'circle',
  handler_target: 'leavesHandlers',
  handler_type: 'loopHandler',
  loop_entered: 'entered',
  loop_nested: 'nested',
}

function reason(code: StructureCode | null): string | null {
  return code === null ? null : w[REASONS[code] ?? 'none']
}

/** Has the canvas draw ways: where they may lead, and what is done when one is drawn there. */
export function connecting(editor: Editor, edits: StepEdits): Connecting {
  return {
    reasons: (way) =>
      new Map([...connectFaults(editor.document, way)].map(([id, code]) => [id, reason(code)])),
    connect: (way, to) => {
      const why = to === END ? null : reason(connectFault(editor.document, way, to))
      if (why === null) edits.connect(way, to)
      else toasts.add(why, 'bad')
    },
  }
}
