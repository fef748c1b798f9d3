import { type Edge, type Node, Position } from '@xyflow/svelte'
import { END, type FlowEdge, type FlowGraph, type FlowStep, type FlowTrigger } from '../flow/graph.ts'
import type { Note } from '../flow/notes.ts'
import { portX } from './card.ts'
import { type Box, type FlowLayout, pillId, wayId } from './layout.ts'

interface Ported {
  [name: string]: unknown
  /** From left to right. */
  ports: readonly string[]
}
export type StepNode = Node<Ported & { step: FlowStep }, 'step'>
export type TriggerNode = Node<Ported & { trigger: FlowTrigger }, 'trigger'>
export type PlainNode = Node<Ported, 'pill' | 'frame' | 'lane'>
export type NoteNode = Node<{ note: Note }, 'note'>
export type CanvasNode = StepNode | TriggerNode | PlainNode | NoteNode
export type WayEdge = Edge<
  { way: FlowEdge | null; trigger?: string; route: readonly { x: number; y: number }[]; isLabelled: boolean },
  'way'
>

const START = 'start!'
const NOTE = 'note!'
const frameId = (loop: string): string => `frame!${loop}`

/** What the canvas library draws. All measures are declared, so that it never has to look for them. */
export function toNodes(graph: FlowGraph, layout: FlowLayout, notes: readonly Note[]): CanvasNode[] {
  const nodes: CanvasNode[] = []
  const { frames } = layout
  if (layout.lane !== null)
    nodes.push({ ...place('lane!', layout.lane), type: 'lane', zIndex: -2, data: { ports: [] } })
  for (const [id, box] of frames) {
    const ports = layout.ports.get(id) ?? []
    nodes.push({ ...place(frameId(id), box, ports), type: 'frame', zIndex: -1, data: { ports } })
  }
  for (const trigger of graph.triggers) {
    const box = layout.triggers.get(trigger.id)
    const ports = ['next']
    if (box !== undefined) {
      nodes.push({ ...place(`trigger!${trigger.id}`, box, ports), type: 'trigger', data: { trigger, ports } })
    }
  }
  for (const step of graph.steps.values()) {
    const box = layout.steps.get(step.id)
    const ports = frames.has(step.id) ? ['body'] : (layout.ports.get(step.id) ?? [])
    if (box !== undefined) nodes.push({ ...place(step.id, box, ports), type: 'step', data: { step, ports } })
  }
  for (const note of notes) {
    const box = { x: note.x, y: note.y, width: note.w, height: note.h }
    nodes.push({ ...place(`${NOTE}${note.id}`, box), type: 'note', data: { note } })
  }
  for (const [id, box] of layout.pills) nodes.push({ ...place(id, box), type: 'pill', data: { ports: [] } })
  return nodes
}

interface Moving {
  steps: ReadonlySet<string>
  notes: ReadonlySet<string>
  dx: number
  dy: number
}

/** The same, with those elsewhere that are being moved: a card with where its ways end, a loop with all that is in it. */
export function movedNodes(nodes: readonly CanvasNode[], graph: FlowGraph, moving: Moving): CanvasNode[] {
  const { dx, dy } = moving
  const steps = new Set(moving.steps)
  for (const { id, loop } of graph.steps.values()) if (loop !== null && steps.has(loop)) steps.add(id)
  const goes = ({ id, type }: CanvasNode): boolean => {
    if (type === 'note') return moving.notes.has(id.slice(NOTE.length))
    if (type === 'frame') return steps.has(id.slice(id.indexOf('!') + 1))
    return type === 'step' ? steps.has(id) : type === 'pill' && steps.has(id.slice(0, id.indexOf('!')))
  }
  return nodes.map((node) => {
    if (!goes(node)) return node
    const position = { x: node.position.x + dx, y: node.position.y + dy }
    // Beyond the part that is shown it stays in the page, since the pointer holds it.
    return { ...node, position, zIndex: 1, dragging: true }
  })
}

function place(id: string, { x, y, width, height }: Box, ports: readonly string[] = []) {
  const point = { width: 1, height: 1 }
  return {
    id,
    position: { x, y },
    width,
    height,
    measured: { width, height },
    handles: [
      { ...point, id: 'in', type: 'target' as const, position: Position.Top, x: width / 2, y: 0 },
      ...ports.map((port, index) => ({
        ...point,
        id: port,
        type: 'source' as const,
        position: Position.Bottom,
        x: portX(index, ports.length, width),
        y: height - 1,
      })),
    ],
  }
}

export function toEdges(graph: FlowGraph, layout: FlowLayout): WayEdge[] {
  const { frames } = layout
  const entry = (id: string): string => (frames.has(id) ? frameId(id) : id)
  const base = { type: 'way' as const, targetHandle: 'in' }
  const starts: WayEdge[] = graph.triggers.map(({ id }) => ({
    ...base,
    id: `${START} ${id}`,
    source: `trigger!${id}`,
    sourceHandle: 'next',
    target: entry(graph.start ?? ''),
    data: { way: null, trigger: id, route: [], isLabelled: false },
  }))
  const ways: WayEdge[] = graph.edges.map((way) => ({
    ...base,
    id: wayId(way),
    source: way.port === 'body' ? way.from : entry(way.from),
    sourceHandle: way.port,
    target: way.to === END ? pillId(graph, way) : entry(way.to),
    data: {
      way,
      route: layout.routes.get(wayId(way)) ?? [],
      isLabelled: (graph.edgesFrom.get(way.from)?.length ?? 0) > 1,
    },
  }))
  return graph.start === null ? ways : [...starts, ...ways]
}
