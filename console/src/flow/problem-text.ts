import { locale } from '../i18n/words.svelte.ts'
import { problemTextDe } from './problem-texts-de.ts'

/** What is wrong and how to mend it, in the reader's language. */
export function problemText(problem: { code: string; message: string }): string {
  return locale.language === 'de' ? problemTextDe(problem) : problem.message
}
