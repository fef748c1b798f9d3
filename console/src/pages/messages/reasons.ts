import { words } from '../../i18n/words.svelte.ts'

/** Why a message says what its template says, and not what an AI wrote. */
export const reasons = words({
  en: {
    not_configured: 'none is set up',
    model_not_allowed: 'the model is not allowed',
    invalid_prompt: 'the instruction could not be filled in',
    busy: 'too many were asked at once',
    unavailable: 'it has failed repeatedly and is left alone for a while',
    timeout: 'it took too long',
    unreachable: 'it could not be reached',
    http_error: 'it answered with an error',
    invalid_response: 'its answer could not be read',
    refused: 'it refused',
    empty: 'it wrote nothing',
    out_of_tokens: 'its text did not come to an end',
    too_long: 'its text was too long',
  },
  de: {
    not_configured: 'keine ist eingerichtet',
    model_not_allowed: 'das Modell ist nicht erlaubt',
    invalid_prompt: 'die Anweisung ließ sich nicht ausfüllen',
    busy: 'zu viele wurden zugleich gefragt',
    unavailable: 'sie scheiterte wiederholt und wird eine Weile in Ruhe gelassen',
    timeout: 'sie brauchte zu lange',
    unreachable: 'sie war nicht zu erreichen',
    http_error: 'sie antwortete mit einem Fehler',
    invalid_response: 'ihre Antwort war nicht zu lesen',
    refused: 'sie weigerte sich',
    empty: 'sie schrieb nichts',
    out_of_tokens: 'ihr Text kam nicht zu Ende',
    too_long: 'ihr Text war zu lang',
  },
})
