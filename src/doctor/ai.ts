import { detailOf, openAiClient } from '#modules/message/index.ts'
import { type Check, failed, type Finding, ok } from './check.ts'

const NOBODY = '00000000-0000-0000-0000-000000000000'
const MAX_TOKENS = 50
const PROMPT = { system: 'You write short messages.', user: 'Write one sentence that says hello.' }

/** Asks each model at AI_BASE_URL once, as a message would. */
export const aiCheck: Check = {
  name: 'ai',
  needs: 'nothing',
  run: async ({ config }) => {
    const opened = openAiClient(config)
    if (opened === null) return [ok('There is no AI_BASE_URL: messages are written by their templates.')]
    const findings: Finding[] = []
    try {
      for (const model of config.ai.models) {
        const answer = await opened.client.ask({
          tenantId: NOBODY,
          model,
          maxTokens: MAX_TOKENS,
          prompt: PROMPT,
        })
        if ('text' in answer) findings.push(ok(`${model} answers.`))
        else {
          const why = `${answer.reason}, ${detailOf(answer) ?? answer.detail}`
          findings.push(
            failed(`${model} does not answer: ${why}.`, 'Look at AI_BASE_URL, AI_API_KEY and AI_MODEL.'),
          )
        }
      }
    } finally {
      await opened.close()
    }
    return findings
  },
}
