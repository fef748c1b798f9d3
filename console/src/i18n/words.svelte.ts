import { local } from '../storage.ts'

export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const
export type Language = keyof typeof LANGUAGES

const STORED = 'bcs.language'

class Locale {
  language = $state<Language>(firstLanguage())

  choose(language: Language): void {
    this.language = language
    local.setItem(STORED, language)
    document.documentElement.lang = language
  }
}

export const locale = new Locale()
document.documentElement.lang = locale.language

function firstLanguage(): Language {
  const wanted = [local.getItem(STORED) ?? '', ...navigator.languages]
  const known = wanted.map((tag) => tag.slice(0, 2)).find((tag) => Object.hasOwn(LANGUAGES, tag))
  return (known as Language | undefined) ?? 'en'
}

type Texts = Record<string, string | ((...values: never[]) => string)>
/** The same texts in another language: a text stays a text, and one that takes values takes the same ones. */
type Translation<T extends Texts> = { [Key in keyof T]: T[Key] extends string ? string : T[Key] }

/** A page's texts. They stand beside the page, and change with the language wherever a component reads them. */
export function words<T extends Texts>(texts: { en: T; de: NoInfer<Translation<T>> }): Translation<T> {
  return new Proxy(texts.en as Translation<T>, {
    get: (_, key) => (texts[locale.language] as Translation<T>)[key as keyof T],
  })
}
