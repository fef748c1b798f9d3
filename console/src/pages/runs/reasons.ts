import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: {
    delay: 'for a time',
    event: 'for an event',
    retry: 'for another try',
    completion: 'for a plugin to finish',
    hours: 'for the hours when messages may be sent',
    filtered: 'a condition was not met',
    stopped: 'stopped by a step',
    already_active: 'another one with its key was under way',
    reentered_too_soon: 'started too soon after the last one',
    rate_cap: 'too many at a time',
    filter_budget: 'the filter cost too much',
    filter_mismatch: 'the filter does not fit the value that came',
    causation_depth: 'automations started each other too often',
    waiting_executions: 'as many are waiting as the shop may have',
    paused: 'the flow was paused',
    not_active: 'the flow was switched off',
    halted: 'all flows were halted',
    lifetime: 'took longer than the flow allows',
    cancel_on: 'an event has cancelled it',
    restarted: 'a newer one took its place',
    flow_deleted: 'the flow was deleted',
    requested: 'somebody cancelled it',
    handled: 'an error handler has dealt with it',
    handler_failed: 'its error handler failed, too',
    internal_error: 'the service itself failed',
    flow_deactivated: 'the flow was switched off',
    version_replaced: 'a newer version was published',
    event_type: 'no trigger takes events of this type',
    source: 'it came from somebody else than the trigger takes',
    filter: 'the filter of the trigger was not met',
    input: 'the input does not fit',
    no_trigger: 'no trigger fits',
  },
  de: {
    delay: 'eine Zeit lang',
    event: 'auf ein Ereignis',
    retry: 'auf den nächsten Versuch',
    completion: 'auf ein Plugin',
    hours: 'auf die Zeit, in der Nachrichten hinausgehen',
    filtered: 'eine Bedingung traf nicht zu',
    stopped: 'von einem Schritt beendet',
    already_active: 'eine andere mit dem Schlüssel war unterwegs',
    reentered_too_soon: 'zu bald nach der letzten',
    rate_cap: 'zu viele auf einmal',
    filter_budget: 'der Filter war zu aufwendig',
    filter_mismatch: 'der Filter passt nicht zum Wert, der kam',
    causation_depth: 'Automationen haben einander zu oft ausgelöst',
    waiting_executions: 'es warten schon so viele, wie der Shop haben darf',
    paused: 'der Ablauf war pausiert',
    not_active: 'der Ablauf war abgeschaltet',
    halted: 'alle Abläufe waren angehalten',
    lifetime: 'dauerte länger, als der Ablauf erlaubt',
    cancel_on: 'ein Ereignis hat sie abgebrochen',
    restarted: 'eine neuere trat an ihre Stelle',
    flow_deleted: 'der Ablauf wurde gelöscht',
    requested: 'jemand hat sie abgebrochen',
    handled: 'ein Fehlerpfad hat sich darum gekümmert',
    handler_failed: 'auch ihr Fehlerpfad ist gescheitert',
    internal_error: 'der Dienst selbst ist gescheitert',
    flow_deactivated: 'der Ablauf wurde abgeschaltet',
    version_replaced: 'eine neuere Version wurde veröffentlicht',
    event_type: 'kein Auslöser nimmt Ereignisse dieser Art',
    source: 'es kam von jemand anderem, als der Auslöser nimmt',
    filter: 'der Filter des Auslösers traf nicht zu',
    input: 'die Eingabe passt nicht',
    no_trigger: 'kein Auslöser passt',
  },
})
const labels = words({
  en: { waits: (what: string) => `waits ${what}` },
  de: { waits: (what: string) => `wartet ${what}` },
})

type Reason = keyof typeof texts
const WAITS: readonly Reason[] = ['delay', 'event', 'retry', 'completion', 'hours']
/** Of a test that says why it would not start. */
const ONLY_OF_TESTS: readonly Reason[] = ['event_type', 'source', 'filter', 'input', 'no_trigger']

/** The reasons that runs are found by, each with its words by themselves. */
export function runReasons(): { value: string; label: string }[] {
  return (Object.keys(texts) as Reason[])
    .filter((reason) => !ONLY_OF_TESTS.includes(reason))
    .map((value) => ({ value, label: WAITS.includes(value) ? labels.waits(texts[value]) : texts[value] }))
}

/** Why a run waits, was left out or ended, in words; null: its status says it all. */
export function reasonText(reason: string | null): string | null {
  if (reason === null || reason === 'done') return null
  return (texts as Record<string, string | undefined>)[reason] ?? reason.replaceAll('_', ' ')
}
