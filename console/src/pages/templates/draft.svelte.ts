import type { Schema } from '../../api/client.ts'
import type { Category } from './categories.ts'
import { type Askable, isPlace, type Mark, markOf, readMark, sentMark } from './marks.ts'

/** What is being said of a template of the shop's own. */
export class TemplateDraft {
  title = $state('')
  description = $state('')
  category = $state<Category>('other')
  marks = $state<Mark[]>([])

  constructor(title: string, description: string) {
    this.title = title
    this.description = description
  }

  /**
   * Takes what a template says; of its parameters those whose places the definition has. Some of them may be at places
   * that no form lists: they stay as they are.
   */
  read({ title, description, category, parameters }: Schema['FlowTemplate'], definition: unknown): void {
    this.title = title
    this.description = description
    this.category = category
    this.marks = parameters
      .map(readMark)
      .filter(({ places, type }) => places.every((place) => isPlace(definition, place, type)))
  }

  /** Says nothing yet but these. */
  clear(title: string, description: string): void {
    this.title = title
    this.description = description
    this.category = 'other'
    this.marks = []
  }

  /** The mark that stands at a place. */
  at(place: string): Mark | undefined {
    return this.marks.find(({ places }) => places.includes(place))
  }

  ask(askable: Askable): void {
    if (this.at(askable.place) !== undefined) return
    this.marks.push(markOf(askable, new Set(this.marks.map(({ name }) => name))))
  }

  leave(place: string): void {
    this.marks = this.marks
      .map((mark) => ({ ...mark, places: mark.places.filter((each) => each !== place) }))
      .filter(({ places }) => places.length > 0)
  }

  sent() {
    return {
      title: this.title.trim(),
      description: this.description.trim(),
      category: this.category,
      parameters: this.marks.map((mark) => sentMark($state.snapshot(mark))),
    }
  }
}
