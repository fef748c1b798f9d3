import type { CallErrorCode, ConnectionErrorCode, StepErrorCode } from '../../../../src/lib/error-codes.ts'
import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

/** The codes that the service itself gives: each has an advice, which the compiler asks for. */
type Code =
  | StepErrorCode
  | CallErrorCode
  | ConnectionErrorCode
  | NonNullable<Schema['Delivery']['last_error_class']>
  | 'lifetime'
  | 'other'

const advice = words({
  en: {
    unknown_action:
      'Neither the platform nor a plugin has this action: choose another one in the flow, or register the plugin that has it.',
    unknown_plugin: 'The plugin is gone: register it again, or choose another one in the flow.',
    plugin_inactive: 'Resume the plugin, then retry from here.',
    plugin_busy:
      'The plugin never had a free turn: raise its max_in_flight or its rate if it can bear it, then retry from here.',
    secret_unreadable: 'Rotate the secret of the plugin, then retry from here.',
    missing_field:
      'The action lacks a field that it needs: fill it in the flow, publish, and retry with the newest version.',
    invalid_payload:
      'What was sent does not fit the action: mend it in the flow, publish, and retry with the newest version.',
    template_error:
      'A value was missing. Give the template a default, or retry with an input that has the value.',
    invalid_response: 'The other side answered something that is no JSON: this is for its owner to mend.',
    breaker_open: 'The platform has been failing and is given a pause. Retry later.',
    platform_not_configured: 'Say under Settings where the platform is, then retry from here.',
    completion_timeout:
      'The action was accepted, and nobody said that it was done. Look there before you retry.',
    reported_failure: 'The other side says that it did not work: its message says why.',
    dns_error: 'The name of the host leads nowhere: check the address, then retry.',
    blocked: 'The service may not call this address. Use a public one.',
    connect_refused: 'Nobody listens there: start the other side, then retry.',
    connect_timeout: 'Nobody answers there: check the address and its firewall, then retry.',
    tls_error: 'The certificate of the other side is not good. Once it is mended, retry.',
    timeout: 'No answer in time. It may have been done all the same: look there before you retry.',
    reset: 'The connection broke. It may have been done all the same: look there before you retry.',
    protocol_error: 'What came was not HTTP: check the address.',
    response_too_large: 'The answer is larger than 256 KB: ask for less.',
    redirect: 'The address leads to another one: write that one into the flow.',
    http_4xx: 'The request was refused: look at the answer, mend what was sent, and retry.',
    http_5xx: 'The other side failed. When it works again, retry from here.',
    connection_not_found: 'The flow names a connection that is not there: create it, or name another one.',
    connection_unreadable: 'Enter the credentials of the connection anew, then retry.',
    connection_host_refused:
      'The connection may not be used for this host: allow the host in the connection.',
    connection_token_failed: 'No token could be had for the connection: check its credentials.',
    missing_recipient:
      'The message had no address: look at the input for the customer’s address. Retry with an input that has it, or have the flow check for one before it writes.',
    invalid_recipient:
      'The recipient is not one line of text: look at what the step reads it from, mend the flow, publish, and retry with the newest version.',
    empty_message:
      'The text came out empty: look at the values that it is made of. Give them a default in the flow, publish, and retry with the newest version.',
    message_erased: 'The customer’s data was erased before the message went out: it cannot be sent any more.',
    missing_value:
      'The wait compares with a value that was empty: retry with an input that has it, or have the flow check for it before.',
    match_too_large:
      'The value that the wait compares with is too long: compare with a short one, such as an id.',
    not_a_list:
      'The loop was given something that is no list: choose one in the flow, publish, and retry with the newest version.',
    too_many_items:
      'The list is longer than the loop allows: raise max_items in the flow, publish, and retry with the newest version.',
    send_window_closed:
      'The flow’s send window lies wholly in the shop’s quiet hours: change one of them, then retry from here.',
    no_such_day:
      'The delay waits for a day that does not come within a year: look at its weekdays and business days in the flow.',
    invalid_time:
      'The delay was given something that is no time: look at the value, mend the flow, publish, and retry with the newest version.',
    invalid_timezone: 'The delay was given something that is no time zone: use one such as Europe/Berlin.',
    invalid_duration:
      'The delay was given something that is no length of time: use one such as “2 hours” or a number of seconds.',
    unknown_step:
      'The version that runs lacks the step at which it was: retry from the start with the newest version.',
    stopped: 'A step of the flow ends it as failed. Its message says why: nothing is broken.',
    overloaded: 'Too much was under way at that moment, and nothing was sent. Retry from here.',
    interrupted: 'The service was stopped before anything was sent. Retry from here.',
    event_key_conflict: 'The same key was used for another call: give each call a key of its own.',
    causation_depth: 'Flows and events have started each other too often: break the circle before you retry.',
    in_progress: 'The same call is still being made: wait for it to end before you retry.',
    lifetime: 'It took longer than the flow allows. Raise its lifetime, or retry.',
    other: 'Look at the message and at what was sent. When the cause is mended, retry from here.',
  } satisfies Record<Code, string>,
  de: {
    unknown_action:
      'Weder Plattform noch ein Plugin hat diese Aktion: im Ablauf eine andere wählen, oder das Plugin anmelden, das sie hat.',
    unknown_plugin: 'Das Plugin gibt es nicht mehr: wieder anmelden, oder im Ablauf ein anderes wählen.',
    plugin_inactive: 'Plugin fortsetzen, dann ab hier wiederholen.',
    plugin_busy:
      'Das Plugin hatte nie einen Platz frei: max_in_flight oder Rate erhöhen, wenn es das verträgt, dann ab hier wiederholen.',
    secret_unreadable: 'Geheimnis des Plugins erneuern, dann ab hier wiederholen.',
    missing_field:
      'Der Aktion fehlt ein Feld: im Ablauf ergänzen, veröffentlichen und mit der neuesten Version wiederholen.',
    invalid_payload:
      'Das Gesendete passt nicht zur Aktion: im Ablauf berichtigen, veröffentlichen und mit der neuesten Version wiederholen.',
    template_error:
      'Ein Wert fehlte. Der Vorlage einen Ersatzwert geben, oder mit einer Eingabe wiederholen, die ihn hat.',
    invalid_response: 'Die Gegenseite hat kein JSON geantwortet: das muss deren Betreiber beheben.',
    breaker_open: 'Die Plattform ist gestört und bekommt eine Pause. Später wiederholen.',
    platform_not_configured: 'Unter Einstellungen angeben, wo die Plattform ist, dann ab hier wiederholen.',
    completion_timeout:
      'Die Aktion wurde angenommen, und niemand hat sie als erledigt gemeldet. Vor dem Wiederholen dort nachsehen.',
    reported_failure: 'Die Gegenseite meldet, dass es nicht geklappt hat: ihre Meldung sagt, warum.',
    dns_error: 'Der Name führt nirgendwohin: Adresse prüfen, dann wiederholen.',
    blocked: 'Diese Adresse darf der Dienst nicht aufrufen. Eine öffentliche verwenden.',
    connect_refused: 'Dort hört niemand: Gegenseite starten, dann wiederholen.',
    connect_timeout: 'Dort antwortet niemand: Adresse und Firewall prüfen, dann wiederholen.',
    tls_error: 'Das Zertifikat der Gegenseite ist nicht in Ordnung. Danach wiederholen.',
    timeout:
      'Keine Antwort in der Zeit. Es kann trotzdem geschehen sein: vor dem Wiederholen dort nachsehen.',
    reset: 'Die Verbindung brach ab. Es kann trotzdem geschehen sein: vor dem Wiederholen dort nachsehen.',
    protocol_error: 'Was kam, war kein HTTP: Adresse prüfen.',
    response_too_large: 'Die Antwort ist größer als 256 KB: weniger erfragen.',
    redirect: 'Die Adresse leitet weiter: die neue in den Ablauf eintragen.',
    http_4xx: 'Die Anfrage wurde abgelehnt: Antwort ansehen, das Gesendete berichtigen, wiederholen.',
    http_5xx: 'Die Gegenseite ist gestört. Wenn sie wieder läuft, ab hier wiederholen.',
    connection_not_found:
      'Der Ablauf nennt eine Verbindung, die es nicht gibt: anlegen, oder eine andere nennen.',
    connection_unreadable: 'Zugangsdaten der Verbindung neu eingeben, dann wiederholen.',
    connection_host_refused:
      'Die Verbindung gilt nicht für diesen Host: den Host in der Verbindung erlauben.',
    connection_token_failed: 'Für die Verbindung war kein Token zu bekommen: Zugangsdaten prüfen.',
    missing_recipient:
      'Die Nachricht hatte keine Adresse: in der Eingabe nachsehen. Mit einer Eingabe wiederholen, die sie hat, oder den Ablauf vorher danach fragen lassen.',
    invalid_recipient:
      'Der Empfänger ist keine einzelne Zeile: nachsehen, woraus der Schritt ihn liest, den Ablauf berichtigen, veröffentlichen und mit der neuesten Version wiederholen.',
    empty_message:
      'Der Text war am Ende leer: die Werte ansehen, aus denen er entsteht. Im Ablauf Ersatzwerte geben, veröffentlichen und mit der neuesten Version wiederholen.',
    message_erased:
      'Die Daten der Person wurden gelöscht, ehe die Nachricht hinausging: sie lässt sich nicht mehr senden.',
    missing_value:
      'Das Warten vergleicht mit einem Wert, der leer war: mit einer Eingabe wiederholen, die ihn hat, oder den Ablauf vorher danach fragen lassen.',
    match_too_large:
      'Der Wert, mit dem das Warten vergleicht, ist zu lang: mit einem kurzen vergleichen, etwa einer Kennung.',
    not_a_list:
      'Die Schleife bekam keine Liste: im Ablauf eine wählen, veröffentlichen und mit der neuesten Version wiederholen.',
    too_many_items:
      'Die Liste ist länger, als die Schleife erlaubt: max_items im Ablauf erhöhen, veröffentlichen und mit der neuesten Version wiederholen.',
    send_window_closed:
      'Das Sendefenster des Ablaufs liegt ganz in den Ruhezeiten des Shops: eines von beiden ändern, dann ab hier wiederholen.',
    no_such_day:
      'Die Pause wartet auf einen Tag, der in einem Jahr nicht kommt: ihre Wochen- und Geschäftstage im Ablauf ansehen.',
    invalid_time:
      'Die Pause bekam keine Zeit: den Wert ansehen, den Ablauf berichtigen, veröffentlichen und mit der neuesten Version wiederholen.',
    invalid_timezone: 'Die Pause bekam keine Zeitzone: eine wie Europe/Berlin verwenden.',
    invalid_duration:
      'Die Pause bekam keine Dauer: eine wie „2 hours“ oder eine Zahl von Sekunden verwenden.',
    unknown_step:
      'Der laufenden Version fehlt der Schritt, an dem sie war: mit der neuesten Version von vorn wiederholen.',
    stopped:
      'Ein Schritt des Ablaufs beendet ihn als gescheitert. Seine Meldung sagt, warum: kaputt ist nichts.',
    overloaded: 'Gerade war zu viel unterwegs, und nichts wurde gesendet. Ab hier wiederholen.',
    interrupted: 'Der Dienst wurde angehalten, ehe etwas gesendet wurde. Ab hier wiederholen.',
    event_key_conflict:
      'Derselbe Schlüssel gehörte schon einem anderen Aufruf: jedem Aufruf einen eigenen geben.',
    causation_depth:
      'Abläufe und Ereignisse haben einander zu oft ausgelöst: erst den Kreis auflösen, dann wiederholen.',
    in_progress: 'Derselbe Aufruf läuft noch: sein Ende abwarten, dann wiederholen.',
    lifetime: 'Es hat länger gedauert, als der Ablauf erlaubt. Lebensdauer erhöhen, oder wiederholen.',
    other: 'Meldung und Gesendetes ansehen. Ist die Ursache behoben, ab hier wiederholen.',
  },
})

/** What to do about an error of a step, in one sentence. Plugins have codes of their own. */
export function adviceFor(code: string): string {
  return (advice as Record<string, string | undefined>)[code] ?? advice.other
}
