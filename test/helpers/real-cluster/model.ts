/**
 * A model that calls the tool whenever it is asked to book, whatever it did before, and believes what it is told.
 */
import { callTools, type Answer, type ModelRequest, type Script, type Step } from 'fastify-voice-agent/testing'
import { booked, FAILED, slotIn, UNKNOWN } from './talk.js'

/** @param gapMs how long it waits before each word, in ms */
export function modelOf (gapMs: number): (request: ModelRequest) => Script {
  return ({ body: { messages } }) => {
    const last = messages.at(-1)
    // One without a result is called again: that is for others to prevent.
    if (last?.role === 'tool' && !String(last.content).includes('no result was recorded')) return spoken(wordsOn(String(last.content)), gapMs)
    // Behind an answer that broke off stands what nobody said.
    const text = String(messages.findLast(({ role, content }) => role === 'user' && !String(content).startsWith('('))?.content)
    const slot = slotIn(text)
    return slot === undefined ? spoken(`You asked this: ${text}`, gapMs) : callTools({ name: 'book', arguments: { slot } })
  }
}

function wordsOn (result: string): string {
  const slot = /^Slot (\S+) is booked\./.exec(result)?.[1]
  if (slot !== undefined) return booked(slot)
  return /not known/.test(result) ? UNKNOWN : FAILED
}

// Each wait begins when the one before is over.
function spoken (text: string, gapMs: number): Answer {
  const wait: Step = { then: (resolve: (value: undefined) => unknown) => { setTimeout(resolve, gapMs, undefined) } } as PromiseLike<unknown>
  return { steps: text.split(/(?=\s\S)/).flatMap(word => [wait, word]) }
}
