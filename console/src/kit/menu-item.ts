export interface MenuItem {
  label: string
  isDangerous?: boolean
  isDisabled?: boolean
  /** The keys that do the same. */
  keys?: string
  onselect: () => void
  /** What has the focus once it is done; null, or left out: the menu's button. */
  focus?: () => HTMLElement | null
}
