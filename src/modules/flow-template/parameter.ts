interface Described {
  title: string
  description: string
}

/** A whole number. */
export interface IntegerParameter extends Described {
  type: 'integer'
  default: number
  minimum: number
  maximum: number
}

/** Text that stays as it is: `{{` in it is no template. It may be empty if its default is. */
export interface TextParameter extends Described {
  type: 'text'
  default: string
  max_length: number
}

/** Text in which the flow's templates may stand. It may be empty if its default is. */
export interface TemplateParameter extends Described {
  type: 'template'
  default: string
  max_length: number
}

export interface ChoiceParameter<Choice extends string = string> extends Described {
  type: 'choice'
  default: Choice
  choices: readonly Choice[]
}

export type Parameter = IntegerParameter | TextParameter | TemplateParameter | ChoiceParameter
export type Parameters = Readonly<Record<string, Parameter>>

export type ValueOf<P extends Parameter> =
  P extends ChoiceParameter<infer Choice> ? Choice : P extends IntegerParameter ? number : string

export type ValuesOf<Ps extends Parameters> = { [Name in keyof Ps]: ValueOf<Ps[Name]> }

export const LINE_MAX_CHARS = 200
export const TEXT_MAX_CHARS = 10_000

export function integer(
  title: string,
  description: string,
  range: Pick<IntegerParameter, 'default' | 'minimum' | 'maximum'>,
): IntegerParameter {
  return { type: 'integer', title, description, ...range }
}

export function text(title: string, description: string, fallback: string): TextParameter {
  return { type: 'text', title, description, default: fallback, max_length: LINE_MAX_CHARS }
}

export function templateLine(title: string, description: string, fallback: string): TemplateParameter {
  return { type: 'template', title, description, default: fallback, max_length: LINE_MAX_CHARS }
}

export function templateText(title: string, description: string, fallback: string): TemplateParameter {
  return { type: 'template', title, description, default: fallback, max_length: TEXT_MAX_CHARS }
}

export function choice<const Choice extends string>(
  title: string,
  description: string,
  choices: readonly Choice[],
  fallback: NoInfer<Choice>,
): ChoiceParameter<Choice> {
  return { type: 'choice', title, description, choices, default: fallback }
}
