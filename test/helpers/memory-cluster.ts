import type { Claim, Cluster, ClusterCalls, Fields, Lease, LeaseOwner } from '../../lib/cluster/cluster.js'

/** What all nodes know of one call. */
interface Entry {
  node: string
  epoch: number
  fields: Record<string, string>
  owner: LeaseOwner | undefined
}

/** Nodes in one process, for tests that decide what each is told, and when. What is saved is there at once. */
export class MemoryCluster {
  readonly entries = new Map<string, Entry>()
  /** Ids that `admit` was told of. */
  readonly admitted = new Set<string>()
  readonly #dead = new Set<string>()
  #isSilent = false
  #waiting: Array<(isBelated: boolean) => void> = []
  #unheard: Array<() => void> = []

  /** The node is gone: nothing of it is heard any more, nor does it hear anything. */
  kill (name: string): void {
    this.#dead.add(name)
    for (const entry of this.entries.values()) if (entry.node === name) entry.owner = undefined
  }

  isDead (name: string): boolean {
    return this.#dead.has(name)
  }

  /** From now on claims go unanswered, until {@link answer}. */
  silence (): void {
    this.#isSilent = true
  }

  /** Answers all claims that went unanswered, in order. @param wasAway whether it could not be asked, rather than took long */
  answer (wasAway = true): void {
    this.#isSilent = false
    for (const answer of this.#waiting.splice(0)) answer(wasAway)
  }

  /** Carries out all claims that went unanswered, in order, without a word. */
  answerNobody (): void {
    this.#isSilent = false
    for (const carryOut of this.#unheard.splice(0)) carryOut()
    this.#waiting = []
  }

  /** Answers again, but no claim that went unanswered. */
  forget (): void {
    this.#isSilent = false
    this.#waiting = []
  }

  /** The names of all fields that are kept of a call. */
  names (id: string): string[] {
    return Object.keys(this.entries.get(id)?.fields ?? {}).map(name => name.replace(/^run:.*/, 'run')).sort()
  }

  /** A field, parsed. */
  read (id: string, name: string): any {
    return JSON.parse(this.entries.get(id)!.fields[name]!)
  }

  /** One of the nodes. */
  node (name: string): Pick<Cluster, 'claim' | 'calls'> {
    return {
      calls: { node: name } as ClusterCalls,
      claim: async ({ id }) => {
        const lease = new MemoryLease(this, id, name)
        const ask = (): Claim => {
          const known = this.entries.get(id)
          const claim: Claim = {
            status: known === undefined ? 'new' : 'resumed',
            previousNode: known?.node,
            fields: { ...known?.fields },
            isAdmitted: this.admitted.has(id),
            lease
          }
          const epoch = (known?.epoch ?? 0) + 1
          this.entries.set(id, { node: name, epoch, fields: { ...known?.fields }, owner: undefined })
          lease.holds(epoch)
          if (known?.node !== name) known?.owner?.fenced()
          return claim
        }
        if (!this.#isSilent) return ask()
        this.#unheard.push(() => { ask() })
        this.#waiting.push(isBelated => {
          if (!this.#dead.has(name)) lease.owner?.answered({ ...ask(), isBelated })
        })
        return { status: 'unanswered', previousNode: undefined, fields: {}, isAdmitted: false, lease }
      }
    }
  }
}

class MemoryLease implements Lease {
  readonly #cluster: MemoryCluster
  readonly #id: string
  readonly #node: string
  owner: LeaseOwner | undefined
  #epoch: number | undefined

  constructor (cluster: MemoryCluster, id: string, node: string) {
    this.#cluster = cluster
    this.#id = id
    this.#node = node
  }

  holds (epoch: number): void {
    this.#epoch = epoch
    // What was saved before it was answered is saved now.
    if (this.owner !== undefined) queueMicrotask(() => this.own(this.owner!, true))
  }

  own (owner: LeaseOwner, isLate = false): void {
    this.owner = owner
    const entry = this.#held
    if (entry !== undefined) entry.owner = owner
    if (isLate) this.save(owner.snapshot())
  }

  get #held (): Entry | undefined {
    const entry = this.#cluster.entries.get(this.#id)
    return entry !== undefined && entry.epoch === this.#epoch && !this.#cluster.isDead(this.#node) ? entry : undefined
  }

  save (fields: Fields): void {
    if (this.#held !== undefined) Object.assign(this.#held.fields, fields)
  }

  flush (): void {}

  report (fields: Fields): void {
    const entry = this.#cluster.entries.get(this.#id)
    if (entry === undefined || this.#cluster.isDead(this.#node)) return
    Object.assign(entry.fields, fields)
    if (entry.epoch !== this.#epoch) entry.owner?.reported(fields)
  }

  end (): void {
    if (this.#held !== undefined) this.#cluster.entries.delete(this.#id)
  }

  leave (): void {
    const entry = this.#held
    if (entry === undefined) return
    entry.owner = undefined
    // It never began.
    if (Object.keys(entry.fields).length === 0) this.#cluster.entries.delete(this.#id)
  }
}
