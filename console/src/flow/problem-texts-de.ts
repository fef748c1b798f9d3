import type { FlowProblem } from '../../../src/lib/flow/index.ts'

/**
 * What the compiler's codes mean, in German. `%` stands for the first name that the compiler's own message has in quotes;
 * where the message has none, the sentence without it is said. `…` ends in the compiler's own words, which say more.
 */
const PROBLEMS_DE: Readonly<Record<FlowProblem['code'], string | readonly [named: string, plain: string]>> = {
  malformed: 'Dieser Teil hat die falsche Form. …',
  too_large: 'Dieser Teil ist zu groß. …',
  too_many_problems: 'Behebe erst diese: es gibt mehr Probleme, als hier stehen.',
  unknown_property: [
    '„%“ hat hier keine Bedeutung: entferne es.',
    'Diese Angabe hat hier keine Bedeutung: entferne sie.',
  ],
  no_trigger: 'Nichts löst den Ablauf aus: füge einen Auslöser hinzu.',
  no_steps: 'Der Ablauf hat keine Schritte: füge einen hinzu.',
  too_many_steps:
    'Ein Ablauf hat höchstens 500 Schritte: teile ihn, und lass den zweiten durch ein Ereignis des ersten beginnen.',
  invalid_id:
    'Die Kennung fehlt oder ist keine: Kleinbuchstaben, Ziffern und _, mit einem Buchstaben am Anfang.',
  duplicate_id: [
    'Die Kennung „%“ ist vergeben: gib eine andere.',
    'Die Kennung ist vergeben: gib eine andere.',
  ],
  unknown_step_type: 'Diese Art von Schritt gibt es nicht. …',
  unknown_port: ['Der Schritt hat keinen Weg „%“.', 'Der Schritt hat keinen solchen Weg.'],
  unknown_target: [
    'Den Schritt „%“, zu dem ein Weg führt, gibt es nicht.',
    'Ein Weg führt zu einem Schritt, den es nicht gibt.',
  ],
  missing_property: ['„%“ fehlt: gib es an.', 'Dem Schritt fehlt eine Angabe. …'],
  invalid_value: 'Dieser Wert ist hier nicht erlaubt. …',
  unreachable_step: 'Kein Weg führt zu diesem Schritt: verbinde ihn, oder lösche ihn.',
  no_action: 'Der Ablauf tut nichts: füge eine Aktion, eine Nachricht oder einen HTTP-Schritt hinzu.',
  cycle: 'Die Schritte führen im Kreis: führe einen der Wege anderswohin. …',
  loop_nested: 'Eine Schleife kann nicht in einer anderen stehen: lass eine Aktion das Innere tun.',
  loop_entered: [
    '„%“ gehört zu einer Schleife und wird auch anders erreicht: beende die Schleife davor.',
    'Der Schritt gehört zu einer Schleife und wird auch anders erreicht: beende die Schleife davor.',
  ],

  unknown_trigger_type: 'Diese Art von Auslöser gibt es nicht. …',
  invalid_event_type: 'Das ist keine Ereignisart: wähle eine, etwa customer.created.',
  unknown_event_type: [
    'Die Ereignisart „%“ ist nicht angemeldet, und es kam noch keins.',
    'Diese Ereignisart ist nicht angemeldet, und es kam noch keins.',
  ],
  invalid_cron:
    'Das ist kein Zeitplan, oder er kommt nie dran: Minute, Stunde, Tag, Monat und Wochentag, etwa 0 9 * * MON-FRI.',
  schedule_too_frequent: 'Ein Zeitplan kommt höchstens einmal in der Minute dran: entferne die Sekunden.',
  schedule_days_either:
    'Der Zeitplan nennt Tage des Monats und der Woche, und kommt an den einen wie an den anderen dran.',
  invalid_timezone: 'Diese Zeitzone gibt es nicht: gib eine wie Europe/Berlin an.',
  invalid_schema: 'Das Schema liegt außerhalb dessen, was erlaubt ist. …',
  self_trigger: [
    'Das bewirkt „%“, womit der Ablauf wieder beginnt: gib dem Auslöser einen Filter, der eigene Ereignisse erkennt.',
    'Das bewirkt ein Ereignis, mit dem der Ablauf wieder beginnt: gib dem Auslöser einen Filter.',
  ],

  unknown_plugin: 'Dieses Plugin gibt es hier nicht: wähle ein anderes, oder richte es ein.',
  plugin_inactive: [
    'Das Plugin „%“ ist nicht aktiv: schalte es ein.',
    'Das Plugin ist nicht aktiv: schalte es ein.',
  ],
  unknown_action: 'Diese Aktion gibt es nicht: wähle eine andere. …',
  platform_not_configured: [
    '„%“ scheitert, bis die Plattform verbunden ist: wer verwaltet, sagt unter Einstellungen, wo sie ist.',
    'Diese Aktion scheitert, bis die Plattform verbunden ist: wer verwaltet, sagt unter Einstellungen, wo sie ist.',
  ],
  missing_field: ['„%“ fehlt: die Aktion braucht es.', 'Der Aktion fehlt ein Feld. …'],
  field_from_trigger: [
    'Die Aktion braucht „%“ und bekommt es von dem, was den Ablauf auslöst: gib einen eigenen Wert, wenn ein anderer gemeint ist.',
    'Ein Feld der Aktion kommt von dem, was den Ablauf auslöst: gib einen eigenen Wert, wenn ein anderer gemeint ist.',
  ],
  unknown_field: [
    'Die Aktion hat kein Feld „%“: entferne es.',
    'Die Aktion hat kein solches Feld: entferne es.',
  ],
  wrong_type: 'Der Wert ist nicht von der Art, die hier stehen kann. …',
  invalid_url: 'Diese Adresse kann nicht aufgerufen werden. …',
  unknown_connection: [
    'Der Shop hat keine Verbindung „%“: lege sie an.',
    'Der Shop hat keine solche Verbindung.',
  ],
  connection_kind: [
    'Die Verbindung „%“ ist nicht von der Art, die hier gebraucht wird.',
    'Die Verbindung ist nicht von der Art, die hier gebraucht wird.',
  ],
  connection_host: [
    'Die Verbindung „%“ darf für diesen Server nicht benutzt werden.',
    'Die Verbindung darf für diesen Server nicht benutzt werden.',
  ],
  secret_in_text: 'Der Wert sieht wie ein Schlüssel aus: der gehört in eine Verbindung.',
  invalid_header: [
    '„%“ kann keine Kopfzeile sein, die gesendet wird.',
    'Diese Kopfzeile kann nicht gesendet werden. …',
  ],

  template_syntax: 'Der Text mit {{…}} lässt sich nicht lesen. …',
  template_too_large: 'Der Text mit {{…}} ist zu groß. …',
  unknown_root: [
    'Mit „%“ beginnt hier kein Pfad: nimm trigger, steps oder variables.',
    'So beginnt hier kein Pfad: nimm trigger, steps oder variables.',
  ],
  unknown_filter: ['Den Filter „%“ gibt es nicht.', 'Diesen Filter gibt es nicht.'],
  invalid_filter_argument: 'Der Filter kann diese Angabe nicht brauchen. …',
  invalid_filter_input: [
    'Der Filter „%“ kann diesen Wert nicht brauchen. …',
    'Der Filter kann diesen Wert nicht brauchen. …',
  ],
  unknown_step: [
    'Den Schritt „%“ gibt es nicht: nimm die Kennung eines Schritts vor diesem.',
    'Diesen Schritt gibt es nicht: nimm die Kennung eines Schritts vor diesem.',
  ],
  step_not_before: [
    '„%“ ist nicht auf jedem Weg zu diesem Schritt gelungen: führe alle Wege hindurch, oder ergänze | default: "".',
    'Ein Schritt kann sein eigenes Ergebnis nicht lesen.',
  ],
  unknown_variable: [
    'Die Variable „%“ bekommt nirgends einen Wert.',
    'Diese Variable bekommt nirgends einen Wert.',
  ],
  variable_not_set: [
    'Die Variable „%“ hat nicht auf jedem Weg einen Wert: gib ihr einen Anfangswert, oder ergänze | default: "".',
    'Die Variable hat nicht auf jedem Weg einen Wert.',
  ],
  item_outside_loop: '„item“ gibt es nur in einer Schleife; ein Feld des Ereignisses ist trigger.item.',
  unknown_path: 'Dieser Pfad ist nicht angemeldet. …',

  condition_malformed: 'Die Bedingung hat die falsche Form. …',
  condition_too_deep: 'Die Bedingungen stehen zu tief ineinander. …',
  condition_too_large: 'Die Bedingung prüft zu vieles. …',
  condition_empty: 'Die Gruppe hat keine Bedingungen: füge eine hinzu, oder entferne sie.',
  unknown_operator: 'Diesen Vergleich gibt es nicht: wähle einen anderen.',
  operator_unavailable: 'Diesen Vergleich gibt es hier nicht: wähle einen anderen. …',
  operator_does_not_fit: [
    'Der Vergleich „%“ passt nicht zur Art des Feldes.',
    'Der Vergleich passt nicht zur Art des Feldes.',
  ],
  invalid_path: 'Das Feld ist kein Pfad. …',
  missing_operand: 'Der Vergleich braucht einen Wert: gib ihn an.',
  extra_operand: 'Der Vergleich braucht keinen Wert: entferne ihn.',
  invalid_operand: 'Der Wert passt nicht zum Vergleich. …',
  unsafe_pattern: 'Das Muster ist kein sicherer regulärer Ausdruck. …',
  always_true: 'Die Bedingung ist immer erfüllt. …',
  always_false: 'Die Bedingung ist nie erfüllt. …',

  invalid_duration: 'Das ist keine Dauer: schreibe sie wie 3 days, 90 min oder PT72H.',
  duration_not_positive: 'Die Dauer muss größer als null sein. …',
  duration_too_long: 'Die Dauer ist länger als 366 Tage.',
  invalid_time: 'Das ist keine Zeit. …',
  wait_without_timeout: 'Dem Warten fehlt eine Frist, etwa 7 days: das Ereignis kommt vielleicht nie.',
  wait_without_match:
    'Ohne „match“, etwa trigger.order_id, zählt jedes Ereignis dieser Art, wen immer es betrifft.',

  unknown_handler: [
    'Den Fehlerpfad „%“, zu dem ein Weg führt, gibt es nicht.',
    'Ein Weg für Fehler führt zu einem Fehlerpfad, den es nicht gibt.',
  ],
  unused_handler: 'Kein Fehler führt hierher: verbinde ihn, oder lösche ihn.',
  handler_cycle: 'Die Schritte im Fehlerpfad führen im Kreis: führe einen der Wege anderswohin. …',
  handler_target: [
    'Aus dem Fehlerpfad führt kein Weg zurück in den Ablauf, auch nicht zu „%“.',
    'Aus dem Fehlerpfad führt kein Weg zurück in den Ablauf.',
  ],
  handler_type: 'Eine Schleife kann nicht im Fehlerpfad stehen: nimm einen anderen Schritt.',

  enrolment_without_key: 'Die Regel braucht einen Schlüssel: gib „key“ an, etwa {{trigger.customer_id}}.',
}

/**
 * Messages of a code that say something else than its others. `$1` stands for the first group of the pattern.
 */
const VARIANTS_DE: Partial<
  Record<FlowProblem['code'], readonly (readonly [message: RegExp, text: string])[]>
> = {
  unknown_target: [
    [/^Give "start" the id/, 'Gib bei „start“ die Kennung eines Schritts an.'],
    [
      /^Give "(.+)" the id of one step/,
      'Gib bei „$1“ die Kennung eines Schritts oder „end“ an: was auf ihn folgt, steht in seinen eigenen Wegen.',
    ],
  ],
  missing_field: [
    [
      /^Add "(.+)": (.+) has nothing to say without it, or one of (.+)\.$/,
      '„$1“ fehlt: ohne Text (oder $3) hat $2 nichts zu sagen.',
    ],
    [
      /^(.+) has no field for the message's "(\w+)": .* the text (\{\{.+\}\})/,
      'Die Aktion $1 hat kein Feld für „$2“ der Nachricht: gib einem ihrer Felder in „input“ den Text $3.',
    ],
    [/^Add "(.+)": the action usually has it/, '„$1“ fehlt: die Aktion hat es gewöhnlich.'],
  ],
  unknown_field: [
    [
      /^(.+) has no field for the message's "(\w+)": .* the text (\{\{.+\}\})/,
      'Die Aktion $1 hat kein Feld für „$2“ der Nachricht: gib einem ihrer Felder in „input“ den Text $3.',
    ],
  ],
  invalid_header: [
    [/^Give "(.+)" a header's name/, 'Gib bei „$1“ den Namen einer Kopfzeile an.'],
    [
      /^Give the name of a header/,
      'Gib den Namen einer Kopfzeile an, und keiner mit Zugangsdaten oder Adressen.',
    ],
  ],
  unknown_root: [
    [
      /^"(.+)" is not there yet: start with one of (.+)\.$/,
      '„$1“ gibt es hier noch nicht: nimm eins von $2.',
    ],
    [/^Nothing is called "(.+)": put spaces/, '„$1“ gibt es hier nicht: setze Leerzeichen um + und -.'],
    [
      /^Nothing is called "(.+)": start with one of (.+), such as (.+)\.$/,
      'Mit „$1“ beginnt hier kein Pfad: nimm eins von $2, etwa $3.',
    ],
  ],
  step_not_before: [
    [
      /^"(.+)" runs in the loop "(.+)": its results are in (.+)\.$/,
      '„$1“ läuft in der Schleife „$2“: seine Ergebnisse stehen in $3.',
    ],
    [
      /^"(.+)" has no "on_error"/,
      '„$1“ hat keinen Weg „on_error“, der zu einem Schritt führt: in Fehlerpfaden nimm execution.error.',
    ],
    [
      /^"(.+)" has not failed/,
      '„$1“ ist nicht auf jedem Weg zu diesem Schritt gescheitert: führe nur „on_error“ hierher, oder ergänze | default: "".',
    ],
  ],
}

/** Words that the compiler quotes before the name that it is about. */
const NO_NAMES = new Set(['end', 'value', 'input'])

/** Says a problem in German; in the compiler's own words, if it is one that is not known here. */
export function problemTextDe({ code, message }: { code: string; message: string }): string {
  const known = Object.hasOwn(PROBLEMS_DE, code) ? PROBLEMS_DE[code as FlowProblem['code']] : undefined
  if (known === undefined) return message
  const near = /did you mean "([^"]+)"/i.exec(message)?.[1]
  const hint = near === undefined ? '' : ` Meintest du „${near}“?`
  for (const [pattern, text] of VARIANTS_DE[code as FlowProblem['code']] ?? []) {
    const groups = pattern.exec(message)
    if (groups !== null)
      return text.replace(/\$(\d)/g, (_, group: string) => groups[Number(group)] ?? '') + hint
  }
  const [named, plain] = typeof known === 'string' ? [known, known] : known
  const name = [...message.matchAll(/"([^"]+)"/g)]
    .map(([, each = '']) => each)
    .find((each) => !NO_NAMES.has(each))
  const isNamed = name !== undefined && name !== near
  const text = isNamed ? named.replace('%', () => name) : plain
  return text.endsWith(' …') ? `${text.slice(0, -2)} (${message})` : `${text}${hint}`
}
