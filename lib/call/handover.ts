/**
 * What a call leaves behind for the node that goes on with it, and what it found left behind.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Claim, Fields, Lease, LeaseOwner } from '../cluster/cluster.js'
import type { Handover } from '../contract/handoff.js'
import { logFailure } from '../telemetry/failure.js'
import type { CallFacts } from '../providers/codec.js'
import { readLegacy, resultField, resultsOf, saidField, type CallFigures, type Legacy } from './snapshot.js'
import type { Spoken } from './spoken.js'

const INCOMPLETE = 'incomplete'

/** Whose handover it is: a live call. */
export interface HandedOver {
  readonly log: FastifyBaseLogger
  readonly figures: CallFigures
  readonly facts: CallFacts | undefined
  readonly state: Readonly<Record<string, unknown>>
  /** All turns that are over and said or did something, in order. */
  readonly spoken: readonly Spoken[]
  /** What the live turn said and did so far, where it called a tool. */
  readonly unfinished: Spoken | undefined
  /** Is it clear that another node had the call before this one? */
  readonly isForeign: boolean
  /** The node that it is on. */
  readonly node: string
  /** Another node has the call: nothing more is said of it here. */
  moved (): void
  /** What another node left turns up when the call already goes on here. */
  inherit (legacy: Legacy): void
  /** A tool that another node ran has returned. */
  returned (id: string, content: string): void
}

/** One call's record in the cluster, kept up to date behind the call's back: none of this is waited for. */
export class CallHandover implements Handover, LeaseOwner {
  readonly #call: HandedOver
  #claim: Claim
  #fields: Fields
  #facts: CallFacts | undefined
  /** Texts as they were saved last, by field. */
  readonly #saved = new Map<string, string>()
  /** Fields whose owner was told that they cannot be written. */
  readonly #unwritten = new Set<string>()
  /** Fields that are others' than the call's own. */
  #others: Fields = {}
  readonly #listeners: Array<(fields: Fields) => void> = []
  /** Was any of its claims answered? Then what another node left is known. */
  #isKnown: boolean
  /** Was nobody there to be asked when this node took it? Then the former node may have had nobody to tell either. */
  #wasUnknown: boolean
  /** Has the call begun? Of one that did not nothing is kept. */
  #hasBegun = false
  readonly #answered: Promise<void>
  #answer!: () => void

  constructor (call: HandedOver, claim: Claim) {
    this.#call = call
    this.#claim = claim
    this.#fields = claim.fields
    this.#isKnown = claim.status !== 'unanswered'
    this.#wasUnknown = !this.#isKnown
    this.#answered = new Promise(resolve => { this.#answer = resolve })
    claim.lease.own(this)
  }

  get fields (): Fields {
    return this.#fields
  }

  /** Is it not known yet what another node left of the call, if anything? */
  get isUnknown (): boolean {
    return !this.#isKnown
  }

  /** Was that not known when this node took the call? */
  get wasUnknown (): boolean {
    return this.#wasUnknown
  }

  get uncertain (): Promise<void> | undefined {
    return this.isUnknown && this.#call.isForeign ? this.#answered : undefined
  }

  get isIncomplete (): boolean {
    return this.#call.isForeign && (this.#wasUnknown || this.#fields[INCOMPLETE] === 'true')
  }

  get #lease (): Lease {
    return this.#claim.lease
  }

  /** What an earlier node left. */
  legacy (): Legacy {
    return this.#read(this.#fields)
  }

  #read (fields: Fields): Legacy {
    const legacy = readLegacy(fields)
    if (legacy.unread.length > 0) this.#call.log.warn({ fields: legacy.unread }, 'what another node left of the call cannot all be read')
    return legacy
  }

  /** The provider dialled this node again, which claimed the call anew. */
  renew (claim: Claim): void {
    this.#claim = claim
    claim.lease.own(this)
    if (claim.status === 'unanswered') {
      this.#wasUnknown = true
      return
    }
    this.#learn(claim)
    claim.lease.save(this.snapshot())
  }

  /** This node claimed the call anew, be it by another id, when it turned out that other nodes know it by that. */
  replace (claim: Claim): void {
    this.#lease.end()
    this.renew(claim)
  }

  /**
   * The call has changed. Figures and state are looked at each time.
   * @param index of a turn that has changed, among those that said or did something
   */
  changed (index?: number, spoken?: Spoken): void {
    this.#hasBegun = true
    this.#lease.save({ ...this.#news(), ...(index !== undefined && spoken !== undefined && saidField(index, spoken)) })
  }

  /** What has changed is on its way when this returns, be it that the node dies then. */
  flush (): void {
    this.#lease.flush()
  }

  /** A tool returned, in whatever turn. */
  returned (id: string, content: string): void {
    this.#lease.report(resultField(id, content))
  }

  save (fields: Fields): void {
    this.#others = { ...this.#others, ...fields }
    this.#lease.save({ ...this.#news(), ...fields })
    this.#lease.flush()
  }

  report (fields: Fields): void {
    this.#others = { ...this.#others, ...fields }
    this.#lease.report(fields)
  }

  onReport (listener: (fields: Fields) => void): void {
    this.#listeners.push(listener)
  }

  end (): void {
    this.#lease.end()
  }

  leave (): void {
    this.changed()
    this.#lease.leave()
  }

  /** The call never began here: what is known of it stays as it was. */
  forgo (): void {
    this.#lease.leave()
  }

  snapshot (): Fields {
    if (!this.#hasBegun) return { ...this.#fields, ...this.#others }
    this.#saved.clear()
    this.#facts = undefined
    const { spoken, unfinished } = this.#call
    const all = unfinished === undefined ? spoken : [...spoken, unfinished]
    return Object.assign({}, this.#fields, this.#others, this.#news(), ...all.map((spoken, index) => saidField(index, spoken)))
  }

  fenced (): void {
    this.#call.moved()
  }

  answered (claim: Claim): void {
    this.#claim = claim
    this.#wasUnknown = claim.isBelated === true
    this.#learn(claim)
  }

  // What is known here is not to be learnt from this node's own record: it would count twice.
  #learn ({ status, previousNode, fields }: Claim): void {
    if (status === 'resumed' && !(this.#isKnown && previousNode === this.#call.node)) {
      this.#fields = fields
      this.#call.inherit(this.#read(fields))
      for (const listener of this.#listeners) listener(fields)
    }
    this.#isKnown = true
    this.#answer()
  }

  reported (fields: Fields): void {
    this.#fields = { ...this.#fields, ...fields }
    for (const [id, content] of resultsOf(fields)) this.#call.returned(id, content)
    for (const listener of this.#listeners) listener(fields)
  }

  /** The fields of the call that are no longer what was saved. */
  #news (): Fields {
    const { figures, facts, state } = this.#call
    const isNew = facts !== undefined && facts !== this.#facts
    this.#facts = facts
    return {
      ...this.#changedText('call', figures),
      ...this.#changedText('state', state),
      ...(isNew && this.#changedText('facts', facts)),
      ...(this.isIncomplete && this.#changedText(INCOMPLETE, true))
    }
  }

  #changedText (name: string, value: unknown): Fields {
    let text: string
    try {
      text = JSON.stringify(value)
    } catch (error) {
      if (!this.#unwritten.has(name)) logFailure(this.#call.log, error, `the call's ${name} cannot be written as JSON: another node would not have it`)
      this.#unwritten.add(name)
      return {}
    }
    if (this.#saved.get(name) === text) return {}
    this.#saved.set(name, text)
    return { [name]: text }
  }
}
