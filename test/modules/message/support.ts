import type { ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { type Received, type Receiver, startReceiver } from '#test/support/receiver.ts'

export interface ChatRequest {
  model: string
  messages: { role: string; content: string }[]
  max_completion_tokens?: number
  max_tokens?: number
}

export interface AiServer extends Receiver {
  /** The value of AI_BASE_URL. */
  baseUrl: string
  requests(): ChatRequest[]
  /** Everything that came, as text: nothing secret may be in it. */
  everything(): string
  /** Answers with this text, as the protocol has it. */
  say(text: string, choice?: Record<string, unknown>): void
  /** Answers with 200 and exactly this. */
  send(body: string): void
}

/** An OpenAI-compatible endpoint on loopback: POST /v1/chat/completions, and 404 for everything else. */
export async function startAi(t: Test): Promise<AiServer> {
  const receiver = await startReceiver(t)
  const respond = (answer: (response: ServerResponse, received: Received) => void): void =>
    receiver.answer((received, response) => {
      const isChat = received.method === 'POST' && received.path === '/v1/chat/completions'
      if (isChat) answer(response, received)
      else response.writeHead(404).end()
    })
  const send = (body: string): void =>
    respond((response) => response.writeHead(200, { 'content-type': 'application/json' }).end(body))
  const say = (text: string, choice: Record<string, unknown> = {}): void => send(completion(text, choice))
  say('Hello from the model.')
  return {
    ...receiver,
    baseUrl: `${receiver.url}/v1`,
    requests: () => receiver.received.map(({ body }) => JSON.parse(body) as ChatRequest),
    everything: () => JSON.stringify(receiver.received),
    say,
    send,
  }
}

export function completion(text: string | null, choice: Record<string, unknown> = {}): string {
  return JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'small-2026-01',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop', ...choice }],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  })
}
