export interface MenuItem {
  label: string
  isDangerous?: boolean
  isDisabled?: boolean
  /** The keys that do the same. */
  keys?: string
  onselect: () => void
}
