import type { Schema } from '../../api/client.ts'
import { locale } from '../../i18n/words.svelte.ts'
import { parameterTextDe, TEMPLATES_DE, type Text } from './texts-de.ts'

type Shown = Text & { id: string; own: boolean; parameters?: Schema['FlowTemplate']['parameters'] }

/** The template in the reader's language; what a shop wrote itself stays as it is. */
export function shownTemplate<T extends Shown>(template: T): T {
  if (locale.language === 'en' || template.own) return template
  const parameters = template.parameters?.map((each) => ({
    ...each,
    ...parameterTextDe(template.id, each.name),
  }))
  return { ...template, ...TEMPLATES_DE[template.id], ...(parameters !== undefined && { parameters }) }
}
