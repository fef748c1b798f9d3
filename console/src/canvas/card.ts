/** The measures of cards and what stands around them: of the layout, of the handles and, as variables, of the styles. */
export const CARD = { width: 240, height: 72 } as const
export const TRIGGER = { width: 240, height: 52 } as const
export const PILL = { width: 52, height: 22 } as const
/** Around the body of a loop; its head is the loop's own card. */
export const FRAME = { padding: 24, gap: 48, below: 44 } as const
export const GAP = { across: 40, down: 56 } as const
/** Between the flow and its error handlers. */
export const LANE_GAP = 72

/** Where a port stands on the lower edge of a card, from its left. */
export function portX(index: number, count: number, width: number = CARD.width): number {
  return (width * (index + 1)) / (count + 1)
}

export const CARD_STYLE = `--card-width: ${CARD.width}px; --card-height: ${CARD.height}px`
