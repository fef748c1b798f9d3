import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: {
    not_found: 'it is no longer kept',
    not_ended: 'it has not ended',
    retried: 'it is being retried already',
    halted: 'all flows are halted',
    flow_deleted: 'its flow was deleted',
    version_missing: 'its version is no longer there',
    nothing_failed: 'nothing in it failed',
    already_active: 'another one with its key is under way',
    invalid_enrolment: 'its key cannot be made',
    invalid_trigger: 'its input no longer fits',
    step_unknown: 'the version has no such step',
    inside_loop: 'the step stands in a loop',
    inside_handler: 'the step is an error handler',
    outputs_missing: 'earlier steps have not been done',
  },
  de: {
    not_found: 'wird nicht mehr aufbewahrt',
    not_ended: 'nicht beendet',
    retried: 'wird schon wiederholt',
    halted: 'alle Abläufe sind angehalten',
    flow_deleted: 'der Ablauf wurde gelöscht',
    version_missing: 'die Version gibt es nicht mehr',
    nothing_failed: 'nichts daran ist gescheitert',
    already_active: 'eine andere mit dem Schlüssel ist unterwegs',
    invalid_enrolment: 'der Schlüssel lässt sich nicht bilden',
    invalid_trigger: 'die Eingabe passt nicht mehr',
    step_unknown: 'die Version hat den Schritt nicht',
    inside_loop: 'der Schritt steht in einer Schleife',
    inside_handler: 'der Schritt gehört zu einem Fehlerpfad',
    outputs_missing: 'frühere Schritte fehlen',
  },
})

/** Why a run could not be retried, in words. */
export function refusalText(reason: string): string {
  return (texts as Record<string, string | undefined>)[reason] ?? reason.replaceAll('_', ' ')
}
