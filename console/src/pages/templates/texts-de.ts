export interface Text {
  title: string
  description: string
}

/** The ready-made templates by their ids. What is missing here is shown as the service says it. */
export const TEMPLATES_DE: Readonly<Record<string, Text>> = {
  welcome_customer: {
    title: 'Neue Kunden begrüßen',
    description: 'Begrüßt alle, die Kunde werden, einmal.',
  },
  abandoned_cart: {
    title: 'An unbezahlte Bestellungen erinnern',
    description:
      'Schreibt einige Stunden nach einer Bestellung, die weder bezahlt noch storniert ist, an den Kunden, es sei denn, er hat inzwischen eine andere bezahlt.',
  },
  order_shipped: {
    title: 'Den Versand einer Bestellung melden',
    description:
      'Schreibt an den Kunden, wenn eine Bestellung das Lager verlässt, einmal je Paket, mit der Sendungsnummer.',
  },
  low_stock_task: {
    title: 'Nachbestellen, was knapp wird',
    description:
      'Legt eine Aufgabe an, wenn der Bestand eines Produkts auf seine Schwelle fällt, je Produkt eine in einigen Tagen.',
  },
  lead_welcome: {
    title: 'Neuen Interessenten antworten',
    description: 'Dankt allen, die Interesse zeigen, sobald sie es tun.',
  },
  lead_follow_up: {
    title: 'Bei stillen Interessenten nachfassen',
    description:
      'Schreibt einem Interessenten einige Tage, nachdem er sich gemeldet hat, und ein zweites Mal, es sei denn, es gab Kontakt: er hat geschrieben, jemand aus dem Shop hat geschrieben, oder sein Status hat sich geändert. Nachrichten von Automationen sind kein Kontakt.',
  },
  crm_update: {
    title: 'Das CRM aktuell halten',
    description:
      'Ändert sich der Status eines Interessenten, erfährt es das Team. Wer gewonnen ist, wird Kunde; wo das nicht von selbst geht, bekommt jemand eine Aufgabe.',
  },
  booking_confirmation: {
    title: 'Termine bestätigen',
    description:
      'Schreibt an den Kunden, wenn ein Termin gebucht wird, oder sobald ein angefragter bestätigt ist.',
  },
  booking_reminder: {
    title: 'An Termine erinnern',
    description:
      'Schreibt einige Stunden vor einem Termin an den Kunden. An einen verlegten erinnert es zur neuen Zeit, an einen abgesagten gar nicht, und an einen kurzfristig gebuchten auch nicht.',
  },
  post_session: {
    title: 'Fragen, wie es war',
    description: 'Schreibt einige Stunden nach einem Termin an den Kunden.',
  },
  plugin_trouble: {
    title: 'Störungen von Plugins melden',
    description:
      'Schreibt an jemanden aus dem Shop, wenn ein Plugin versagt, bald oder schon abgeschaltet ist oder seine Ereignisse zu spät bekommt: einmal, bis es wieder gut ist.',
  },
  flow_trouble: {
    title: 'Störungen von Abläufen melden',
    description:
      'Schreibt an jemanden aus dem Shop, wenn ein Ablauf immer wieder scheitert oder pausiert wurde: einmal, bis es wieder gut ist.',
  },
}

const MESSAGE_SUBJECT: Text = { title: 'Betreff', description: 'Der Betreff einer E-Mail.' }
const MESSAGE_BODY: Text = { title: 'Text', description: 'Der Text der Nachricht.' }
const NOTICE_SUBJECT: Text = { title: 'Betreff', description: 'Womit die Nachricht beginnt.' }

/** Settings by their names, and where a template means something of its own, by `template.name`. */
const PARAMETERS_DE: Readonly<Record<string, Text>> = {
  channel: {
    title: 'Weg',
    description: 'Wie die Nachricht geschickt wird: als E-Mail oder als SMS an die Telefonnummer.',
  },
  subject: MESSAGE_SUBJECT,
  first_subject: MESSAGE_SUBJECT,
  second_subject: MESSAGE_SUBJECT,
  'plugin_trouble.subject': NOTICE_SUBJECT,
  'flow_trouble.subject': NOTICE_SUBJECT,
  body: MESSAGE_BODY,
  first_body: MESSAGE_BODY,
  second_body: MESSAGE_BODY,
  format: {
    title: 'Format',
    description:
      'Was eine E-Mail ist: Text, oder HTML, in dem Namen und alle anderen Werte maskiert werden. Ein Text ohne Auszeichnung wird Zeile für Zeile zu HTML. Eine SMS ist immer Text.',
  },
  ai_prompt: {
    title: 'Auftrag an die KI',
    description:
      'Was eine KI statt des Textes schreiben soll; der Text geht hinaus, wenn keine gefragt werden kann. Leer: der Text geht hinaus.',
  },
  shop_name: { title: 'Name des Shops', description: 'Womit der Shop seine Nachrichten unterschreibt.' },
  to: {
    title: 'Adresse',
    description:
      'Wessen E-Mail-Adresse es erfährt. Leer: stattdessen eine Benachrichtigung in der Plattform.',
  },
  time_zone: {
    title: 'Zeitzone',
    description: 'Für Termine, die keine nennen, etwa Europe/Lisbon. Leer: die des Shops.',
  },
  'abandoned_cart.hours': { title: 'Stunden', description: 'Wie lange auf die Zahlung gewartet wird.' },
  'booking_reminder.hours': { title: 'Stunden vorher', description: 'Wie lange vor dem Termin.' },
  'post_session.hours': { title: 'Stunden danach', description: 'Wie lange nach dem Termin.' },
  title: { title: 'Titel', description: 'Wie die Aufgabe heißt.' },
  due_days: { title: 'Fällig in Tagen', description: 'Bis wann die Aufgabe erledigt sein soll.' },
  priority: { title: 'Priorität', description: 'Der Aufgabe.' },
  'low_stock_task.assignee': {
    title: 'Zuständig',
    description: 'Wessen Aufgabe es ist, mit Kennung. Leer: noch niemandes.',
  },
  quiet_days: {
    title: 'Ruhetage',
    description: 'Wie lange es für dasselbe Produkt keine weitere Aufgabe gibt.',
  },
  first_days: {
    title: 'Erste nach Tagen',
    description: 'Tage ohne Kontakt vor der ersten Nachricht.',
  },
  second_days: {
    title: 'Zweite nach Tagen',
    description: 'Tage ohne Kontakt vor der zweiten Nachricht.',
  },
  won_status: {
    title: 'Status gewonnener Interessenten',
    description: 'Der Status eines Interessenten, der Kunde werden soll.',
  },
  'crm_update.assignee': {
    title: 'Zuständig',
    description: 'Wessen Aufgabe es ist, Kunden von Hand anzulegen, mit Kennung. Leer: noch niemandes.',
  },
}

/** The text of a template's setting; undefined: there is none in German. */
export function parameterTextDe(template: string, name: string): Text | undefined {
  return PARAMETERS_DE[`${template}.${name}`] ?? PARAMETERS_DE[name]
}
