/** What the renderer says when a template fails, and the same in German. */
const FAULTS_DE: readonly (readonly [message: RegExp, text: string])[] = [
  [/^(.+) is missing: give it a default/, '$1 fehlt: gib einen Ersatzwert an, etwa | default: ""'],
  [/^(.+) is null: give it a default/, '$1 ist null: gib einen Ersatzwert an, etwa | default: ""'],
  [
    /^(.+) is (?:missing|null): say by \{% else %\}/,
    '$1 fehlt: sage mit {% else %}, was ohne eine Liste gilt',
  ],
  [/^(.+) is (.+), and "for" needs a list/, '$1 ist keine Liste, und „for“ braucht eine'],
  [/^(.+) adds a duration to/, '$1 rechnet eine Dauer auf etwas, das keine Zeit ist'],
  [
    /^(.+) gives "(\w+)" a value that is .+, not (.+)$/,
    '$1 gibt dem Filter „$2“ einen Wert, den er nicht brauchen kann',
  ],
  [/^(.+) gives "(\w+)" an argument that is missing/, '$1: eine Angabe des Filters „$2“ fehlt'],
  [
    /^(.+) gives "(\w+)" an? .+ that is .+, not (.+)$/,
    '$1 gibt dem Filter „$2“ eine Angabe, die er nicht brauchen kann',
  ],
  [/^The result is larger than (.+): use less/, 'Das Ergebnis ist größer als $1: nimm weniger Daten.'],
  [/takes too much work/, 'Der Text macht zu viel Arbeit: nimm weniger Daten.'],
]

/** Says in German why a template fails with the sample; what is not known here, with the renderer's own words. */
export function previewFaultDe(message: string): string {
  for (const [pattern, text] of FAULTS_DE) {
    const groups = pattern.exec(message)
    if (groups !== null) return text.replaceAll(/\$(\d)/g, (_, group: string) => groups[Number(group)] ?? '')
  }
  return `Mit dem Beispiel geht das nicht. (${message})`
}
