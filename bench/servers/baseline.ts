/**
 * What a careful user writes by hand: a bare `ws` server and the official client with its default transport, one frame
 * a token.
 */
import OpenAI from 'openai'
import { MODEL, serve } from './by-hand.js'

const openai = new OpenAI()

serve(async (messages, signal, say) => {
  const stream = await openai.chat.completions.create({ model: MODEL, stream: true, messages }, { signal })
  for await (const chunk of stream) {
    if (signal.aborted) return
    const content = chunk.choices[0]?.delta.content
    if (content !== undefined && content !== null && content !== '') say(content)
  }
})
