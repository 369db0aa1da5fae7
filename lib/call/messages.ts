/**
 * Transcript and tool entries to chat-completions messages: a list that every model takes, whatever the providers report.
 */
import type { ChatMessage, TurnReason } from '../contract/agent.js'
import type { Entry } from '../providers/codec.js'
import { Alignment, type Piece, type Place, type Spoken, type ToolRecord } from './spoken.js'

/** Stands where a model wants to read a user and the caller has not said anything. */
export const CALL_CONNECTED = '(The call has connected.)'

/** Ends the messages of a `reminder` turn. */
export const CALLER_SILENT = '(The caller has been silent for a while. Nudge them in one short sentence; do not repeat an answer already given.)'

/** Ends the messages of a `response` turn for which no word of the caller came. */
export const CALLER_UNHEARD = '(The caller said nothing that could be understood.)'

/** Options of {@link toMessages}. */
export interface MessagesOptions {
  /** May the list start with the assistant? Many models want a user message first. */
  readonly leadingAssistant: boolean
  /** What the assistant says between a tool's result and the user, for servers that refuse them side by side; `''` is nothing. */
  readonly afterTool: string
  /** What the agent's turns said and did so far: what they said in passing is left out, the tools they called are put in. */
  readonly spoken: readonly Spoken[]
}

/** Never promoted to instructions (system), never told without the call they answer (tool, function). */
const UNSPOKEN_ROLES: ReadonlySet<string> = new Set(['system', 'tool', 'function'])

/** For a call without a result, which models reject: its server is gone, or its agent was stopped meanwhile. */
const NO_RESULT = '{"error":"no result was recorded: whether it took effect is not known"}'

/** For a tool that still runs when its turn was superseded, where asking again waits for that same run. */
const STILL_RUNNING = '{"status":"still running: call it again with the same arguments to get its result"}'

/** For a tool that returned nothing: some model servers reject blank text anywhere. */
const NO_OUTPUT = '(no output)'

/**
 * Converts a conversation into messages for a turn. Pure, and linear in the number of entries: a call lasts up to two
 * hours, and each of its turns may ask.
 *
 * The list is never empty, starts with the user (unless `leadingAssistant`), and ends with the user or with a tool's
 * result, so that the model has something to answer. Each tool call is there once, with one result right behind it: where
 * the words around it tell, else where the provider's books have it, else where the call's own record has it.
 */
export function toMessages (entries: readonly Entry[], reason: TurnReason, options: MessagesOptions): ChatMessage[] {
  const messages: ChatMessage[] = []
  const results = firstResults(entries)
  const own = new Map<string, ToolRecord>()
  for (const { tools } of options.spoken) for (const tool of tools) own.set(tool.id, tool)
  const seen = new Set<string>()
  const { pieces, alignment, leftOver } = place(entries, options.spoken)

  const add = (piece: Piece | Extract<Entry, { kind: 'tool-call' }>): void => {
    if (typeof piece === 'string') return say('assistant', piece)
    if (seen.has(piece.id)) return
    seen.add(piece.id)
    const record = own.get(piece.id)
    const result = record?.result ?? results.get(piece.id) ?? (record?.runsOnce ? STILL_RUNNING : NO_RESULT)
    // Models write them in one message, and some want texts of the assistant and the user to alternate.
    const text = messages.at(-1)?.role === 'assistant' ? messages.pop() : undefined
    messages.push(call(record ?? piece, text?.content ?? null), { role: 'tool', tool_call_id: piece.id, content: result.trim() === '' ? NO_OUTPUT : result })
  }

  // Models that insist on alternation reject two messages of one role in a row.
  const say = (role: 'user' | 'assistant', speech: string): void => {
    const content = speech.trim()
    if (content === '') return
    if (role === 'user' && messages.at(-1)?.role === 'tool') say('assistant', options.afterTool)
    // An assistant that is last is always text: a call is pushed together with its result.
    const before = messages.at(-1)?.role === role ? `${messages.pop()!.content} ` : ''
    messages.push({ role, content: before + content } as ChatMessage)
  }

  for (const [index, entry] of entries.entries()) {
    leftOver.get(index)?.forEach(add)
    switch (entry.kind) {
      case 'speech':
        if (entry.role === 'agent') (pieces?.[index] ?? [entry.content]).forEach(add)
        else if (!UNSPOKEN_ROLES.has(entry.role)) say('user', entry.content)
        break
      case 'note':
        say('user', entry.content)
        break
      case 'tool-call':
        // The words that were said around it tell its place better than the provider does.
        if (!alignment.isPlaced(own.get(entry.id))) add(entry)
        break
      case 'tool-result':
        // Told right after its call, as models reject anything in between.
        break
    }
  }
  leftOver.get(entries.length)?.forEach(add)

  const last = messages.at(-1)
  if (reason === 'reminder') say('user', CALLER_SILENT)
  else if (last === undefined || (reason === 'greeting' && last.role !== 'user')) say('user', CALL_CONNECTED)
  else if (last.role === 'assistant') say('user', CALLER_UNHEARD)

  if (!options.leadingAssistant && messages[0]?.role !== 'user') messages.unshift({ role: 'user', content: CALL_CONNECTED })
  return messages
}

/** Where a turn that heard these entries stands in the conversation, as it will grow. */
export function placeBehind (entries: readonly Entry[]): Place {
  const last = entries.findLastIndex(isHeard)
  return { utterances: entries.filter(isHeard).length, more: entries.length - 1 - last }
}

/** Not the agent's own words, which are reported as they are spoken and may be told in one piece or in several. */
function isHeard (entry: Entry): boolean {
  return entry.kind === 'speech' && entry.role !== 'agent' && !UNSPOKEN_ROLES.has(entry.role)
}

/**
 * The agent's utterances with the tools that were called in them, and those that belong to none, by the index of the entry
 * they come before. Undefined where all utterances are as they are.
 */
function place (entries: readonly Entry[], spoken: readonly Spoken[]): { pieces: Piece[][] | undefined, alignment: Alignment, leftOver: ReadonlyMap<number, ToolRecord[]> } {
  const alignment = new Alignment(spoken)
  if (alignment.isPlain) return { pieces: undefined, alignment, leftOver: NONE }
  const reported = new Set(entries.map(entry => entry.kind === 'tool-call' ? entry.id : undefined))
  const turns: Array<number | undefined> = []
  let heard = 0
  const pieces = entries.map((entry, index) => {
    if (isHeard(entry)) heard++
    if (entry.kind !== 'speech' || entry.role !== 'agent') return []
    const read = alignment.read(entry.content, heard)
    turns[index] = alignment.lastRead
    return read
  })
  const behind = [0, ...entries.flatMap((entry, index) => isHeard(entry) ? [index + 1] : [])]
  const leftOver = new Map<number, ToolRecord[]>()
  for (const [turn, { tools, place }] of spoken.entries()) {
    if (tools.length === 0) continue
    const unplaced = tools.filter(tool => !alignment.isPlaced(tool) && !reported.has(tool.id))
    if (unplaced.length === 0) continue
    let index = behind[place!.utterances] ?? entries.length
    for (let more = place!.more; more > 0 && index < entries.length && !isHeard(entries[index]!); more--) index++
    // The caller's utterances may have been joined since: never behind what was said in a later turn.
    const next = turns.findIndex(other => other !== undefined && other > turn)
    if (next !== -1 && next < index) index = next
    leftOver.set(index, [...leftOver.get(index) ?? [], ...unplaced])
  }
  return { pieces, alignment, leftOver }
}

const NONE: ReadonlyMap<number, ToolRecord[]> = new Map()

/** What each call returned, by its id. Where a provider reports two results, the first stands. */
function firstResults (entries: readonly Entry[]): Map<string, string> {
  const results = new Map<string, string>()
  for (const entry of entries) {
    if (entry.kind === 'tool-result' && !results.has(entry.id)) results.set(entry.id, entry.content)
  }
  return results
}

function call ({ id, name, arguments: args, extra }: Pick<ToolRecord, 'id' | 'name' | 'arguments' | 'extra'>, content: string | null): ChatMessage {
  // Models that call a tool without parameters often write nothing, and then cannot read that nothing as JSON.
  return { role: 'assistant', content, tool_calls: [{ ...extra, id, type: 'function', function: { name, arguments: args.trim() === '' ? '{}' : args } }] }
}
