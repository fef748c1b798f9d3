import { words } from '../../i18n/words.svelte.ts'

/** What to do for each way in which an attempt fails, in one sentence. */
export const errorAdvice = words({
  en: {
    dns_error: 'The host name has no address: check the DNS records and the spelling of the webhook URL.',
    blocked:
      'The URL leads to an address that is not public: use a public one, or ask the operator to allow it (EGRESS_ALLOW).',
    connect_refused: 'Nothing listens there: check that the server runs, its port and its firewall.',
    connect_timeout:
      'No connection came about in time: check the firewall, and whether the server is overloaded.',
    tls_error:
      'A certificate was not accepted: check that the plugin’s is valid, complete and made for this host name, or whether it asks for a client certificate.',
    timeout: 'There was no complete answer in time: answer first and do the work afterwards.',
    reset:
      'The connection closed before the answer was complete: look for crashes and for proxies that close it.',
    protocol_error: 'The answer was not HTTP/1.1: check what listens on that port.',
    response_too_large:
      'The answer was longer than 16 KB and cut off; it arrived all the same. Answer 204 without a body.',
    redirect: 'Redirects are not followed: register the address that the answer points to.',
    http_4xx: 'The plugin refused it: check its signature check, the path and the authorization.',
    http_5xx: 'The plugin failed at it: look into the plugin’s own log at this time.',
  },
  de: {
    dns_error: 'Der Hostname hat keine Adresse: DNS-Einträge und Schreibweise der Webhook-URL prüfen.',
    blocked:
      'Die URL führt zu einer Adresse, die nicht öffentlich ist: eine öffentliche nehmen, oder der Betrieb erlaubt sie (EGRESS_ALLOW).',
    connect_refused: 'Dort nimmt niemand an: prüfen, ob der Server läuft, dazu Port und Firewall.',
    connect_timeout: 'Die Verbindung kam nicht rechtzeitig zustande: Firewall und Last des Servers prüfen.',
    tls_error:
      'Ein Zertifikat wurde nicht angenommen: ist das des Plugins gültig, vollständig und für diesen Hostnamen, oder verlangt es ein Client-Zertifikat?',
    timeout: 'Es kam nicht rechtzeitig eine vollständige Antwort: erst antworten, dann arbeiten.',
    reset:
      'Die Verbindung endete vor der vollständigen Antwort: nach Abstürzen und schließenden Proxys suchen.',
    protocol_error: 'Die Antwort war kein HTTP/1.1: prüfen, was an diesem Port antwortet.',
    response_too_large:
      'Die Antwort war länger als 16 KB und wurde abgeschnitten; angekommen ist es trotzdem. Besser 204 ohne Inhalt antworten.',
    redirect: 'Weiterleitungen wird nicht gefolgt: die Adresse eintragen, auf die die Antwort zeigt.',
    http_4xx: 'Das Plugin hat es abgelehnt: Signaturprüfung, Pfad und Berechtigung prüfen.',
    http_5xx: 'Das Plugin ist daran gescheitert: in dessen eigenes Protokoll zu dieser Zeit sehen.',
  },
})
export type ErrorClass = keyof typeof errorAdvice
export const ERROR_CLASSES = Object.keys(errorAdvice) as ErrorClass[]

/** Why a delivery waits or has ended, in one sentence. */
const reasonText = words({
  en: {
    plugin_paused: 'The plugin is paused: it waits until the plugin is resumed.',
    plugin_disabled: 'The plugin is disabled: it waits until the plugin is resumed.',
    secret_unreadable: 'The plugin’s secret cannot be opened: rotate the secret, or send the headers again.',
    breaker_open: 'The plugin failed several times in a row: everything to it waits for a moment.',
    retry_after: 'The plugin asked for patience.',
    behind: 'Another delivery about the same thing goes first.',
    coalescing: 'It waits for newer ones about the same thing: only the newest is sent.',
    manual_retry: 'Somebody asked for it again.',
    replay: 'A replay asked for it again.',
    exhausted: 'The last attempt of the schedule failed. Nothing more happens by itself.',
    gone: 'The plugin answered that it wants no more, ever (410).',
    skipped: 'The plugin was resumed without what was waiting.',
    unsubscribed: 'The plugin stopped listening to this event while it waited.',
    superseded: 'A newer one about the same thing took its place.',
    plugin_deleted: 'The plugin was removed.',
    erased: 'The event’s data was erased.',
    body_gone: 'The event’s data is no longer kept: it cannot be sent again.',
    filter_budget: 'The subscription’s filter costs too much on this event’s data. A retry sends it.',
  },
  de: {
    plugin_paused: 'Das Plugin ist pausiert: sie wartet, bis es fortgesetzt wird.',
    plugin_disabled: 'Das Plugin ist abgeschaltet: sie wartet, bis es fortgesetzt wird.',
    secret_unreadable:
      'Das Geheimnis des Plugins ist nicht lesbar: neu vergeben, oder die Kopfzeilen neu setzen.',
    breaker_open: 'Das Plugin scheiterte mehrmals in Folge: alles an es wartet einen Moment.',
    retry_after: 'Das Plugin hat um Geduld gebeten.',
    behind: 'Eine andere Zustellung, die dasselbe betrifft, geht vor.',
    coalescing: 'Sie wartet auf neuere, die dasselbe betreffen: nur die neueste wird gesendet.',
    manual_retry: 'Jemand hat sie noch einmal verlangt.',
    replay: 'Eine Wiederholung hat sie noch einmal verlangt.',
    exhausted: 'Der letzte Versuch des Plans ist gescheitert. Von selbst geschieht nichts mehr.',
    gone: 'Das Plugin antwortete, dass es nie mehr etwas will (410).',
    skipped: 'Das Plugin wurde ohne das Wartende fortgesetzt.',
    unsubscribed: 'Das Plugin hört nicht mehr auf dieses Ereignis.',
    superseded: 'Eine neuere, die dasselbe betrifft, ist an ihre Stelle getreten.',
    plugin_deleted: 'Das Plugin wurde entfernt.',
    erased: 'Die Daten des Ereignisses wurden gelöscht.',
    body_gone: 'Die Daten des Ereignisses sind nicht mehr vorhanden: nicht noch einmal zustellbar.',
    filter_budget: 'Der Filter kostet bei diesem Ereignis zu viel. Ein neuer Versuch stellt sie zu.',
  },
})
type Reason = keyof typeof reasonText
export const REASONS = Object.keys(reasonText) as Reason[]

const reasonNames = words({
  en: {
    plugin_paused: 'plugin paused',
    plugin_disabled: 'plugin disabled',
    secret_unreadable: 'secret unreadable',
    breaker_open: 'breaker open',
    retry_after: 'asked to wait',
    behind: 'behind another',
    coalescing: 'waits for newer ones',
    manual_retry: 'retried by hand',
    replay: 'replay',
    exhausted: 'attempts used up',
    gone: 'gone (410)',
    skipped: 'skipped',
    unsubscribed: 'not subscribed any more',
    superseded: 'replaced by a newer one',
    plugin_deleted: 'plugin removed',
    erased: 'erased',
    body_gone: 'data gone',
    filter_budget: 'filter too costly',
  },
  de: {
    plugin_paused: 'Plugin pausiert',
    plugin_disabled: 'Plugin abgeschaltet',
    secret_unreadable: 'Geheimnis nicht lesbar',
    breaker_open: 'Sicherung offen',
    retry_after: 'um Geduld gebeten',
    behind: 'hinter einer anderen',
    coalescing: 'wartet auf neuere',
    manual_retry: 'von Hand wiederholt',
    replay: 'Wiederholung',
    exhausted: 'Versuche aufgebraucht',
    gone: 'nicht mehr da (410)',
    skipped: 'übergangen',
    unsubscribed: 'nicht mehr abonniert',
    superseded: 'durch eine neuere ersetzt',
    plugin_deleted: 'Plugin entfernt',
    erased: 'gelöscht',
    body_gone: 'Daten fort',
    filter_budget: 'Filter zu teuer',
  },
})

export function reasonName(reason: string): string {
  return reason in reasonNames ? reasonNames[reason as Reason] : reason.replaceAll('_', ' ')
}

export function reasonSentence(reason: string | null): string | undefined {
  return reason !== null && reason in reasonNames ? reasonText[reason as Reason] : undefined
}
