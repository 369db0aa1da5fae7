/**
 * The seam to the other nodes: which call lives where, what the node that takes it over is told of it, and how the one
 * that has it is reached.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { AgentConfig, EndCallOptions, InterjectOptions, Provider, TransferCallOptions } from '../contract/agent.js'

/** Which call: ids are unique per provider only. */
export interface CallKey {
  readonly provider: Provider
  readonly id: string
}

/** What is kept of a call, by name. Whoever saves it writes it, and reads it: to the cluster it is text. */
export type Fields = Readonly<Record<string, string>>

/** A live call, wherever it lives. Its controls are those of {@link Call}, carried out by the node that has it. */
export interface ClusterCall extends CallKey {
  /** The node that has it. */
  readonly node: string
  /** When it began, by the clock of the node that took it first, in ms since 1970. */
  readonly startedAt: number
  /** As {@link Call.interject}. Rejects with VOICE_AGENT_ERR_CLUSTER if its node did not answer; the outcome is then unknown. */
  interject (text: string, options?: InterjectOptions): Promise<void>
  /** As {@link Call.end}, with the same exception. */
  end (options?: EndCallOptions): Promise<void>
  /** As {@link Call.transfer}, with the same exception. */
  transfer (destination: string, options?: TransferCallOptions): Promise<void>
  /** As {@link Call.sendMetadata}, with the same exception. */
  sendMetadata (metadata: Record<string, unknown>): Promise<void>
  /** As {@link Call.updateAgent}, with the same exception. */
  updateAgent (config: AgentConfig): Promise<void>
}

/** One process that takes calls. */
export interface ClusterNode {
  readonly id: string
  /** How many calls it has, by its last heartbeat. */
  readonly calls: number
  /** When it joined, by its own clock, in ms since 1970. */
  readonly startedAt: number
}

/**
 * The calls of all nodes, as `fastify.calls.cluster`; without a cluster those of this process. All of it rejects with
 * VOICE_AGENT_ERR_CLUSTER where the other nodes cannot be asked.
 */
export interface ClusterCalls {
  /** This node's id. */
  readonly node: string
  /** All live calls, in no order. One that moves meanwhile may be missed, or come twice. */
  list (): AsyncIterable<ClusterCall>
  /** The live call with this id, by the provider's own id. */
  get (id: string): Promise<ClusterCall | undefined>
  /** The nodes that are alive. */
  nodes (): Promise<ClusterNode[]>
  /** How many calls there are, by the nodes' last heartbeats. */
  size (): Promise<number>
}

/** What is asked of the node that has a call: a method of {@link Call} and what it is given. */
export type Command =
  | { readonly method: 'interject', readonly args: readonly [text: string, options?: InterjectOptions] }
  | { readonly method: 'end', readonly args: readonly [options?: EndCallOptions] }
  | { readonly method: 'transfer', readonly args: readonly [destination: string, options?: TransferCallOptions] }
  | { readonly method: 'sendMetadata', readonly args: readonly [metadata: Record<string, unknown>] }
  | { readonly method: 'updateAgent', readonly args: readonly [config: AgentConfig] }

/** What a cluster needs of its node. */
export interface ClusterHost {
  readonly log: FastifyBaseLogger
  /** How many calls there are here, for ceilings: those that wait for their provider are counted, and upgrades that may become calls. */
  readonly load: number
  /** Carries out what another node asks. Rejects as the call does; VOICE_AGENT_ERR_CALL_ENDED where it is not here. */
  command (key: CallKey, command: Command): Promise<void>
  /** Something could not be written or asked. Counted; never throws. */
  failed (operation: string): void
}

/** One node's hold of one call. Nothing of it throws, rejects or waits: what cannot be written now is written later. */
export interface Lease {
  /** Whose call it is, from the claim's answer on. To be told before the event loop turns. */
  own (owner: LeaseOwner): void
  /** Changes fields of the record. What is saved in one tick is one command, and leaves at its end. */
  save (fields: Fields): void
  /** Hands what was saved to the system at once, so that it is on its way before what comes next. */
  flush (): void
  /**
   * Changes fields that hold whoever has the call, such as what a tool did: they are written though another node has it
   * by now, and that node is told.
   */
  report (fields: Fields): void
  /** The call is over: nothing of it is kept. */
  end (): void
  /** The call is left to another node: what was saved stays, for as long as a provider may take to dial again. */
  leave (): void
}

/** Whose lease it is: a live call. None of its methods throws. */
export interface LeaseOwner {
  /** All that there is to save, where the record was lost, or could not be written for a while. */
  snapshot (): Fields
  /** Another node has the call: not a word more. The lease is over by then, but for {@link Lease.report}. */
  fenced (): void
  /** A claim that went unanswered has its answer. */
  answered (claim: Claim): void
  /** A node that had the call before reports what came of something. */
  reported (fields: Fields): void
}

/** What a node learns when it takes a call. */
export interface Claim {
  /**
   * `new`: no node had the call; `resumed`: a node had it, possibly this one; `unanswered`: not known yet,
   * {@link LeaseOwner.answered} follows.
   */
  readonly status: 'new' | 'resumed' | 'unanswered'
  /** Which node had it last. */
  readonly previousNode: string | undefined
  /** What was saved of it. */
  readonly fields: Fields
  /** Is its id one that {@link Cluster.admit} was told of, on whatever node? */
  readonly isAdmitted: boolean
  /** Was the cluster away when it was asked, rather than slow? */
  readonly isBelated?: boolean
  readonly lease: Lease
}

/** All nodes, as one of them knows them. */
export interface Cluster {
  readonly calls: ClusterCalls
  /** Joins. Resolves once it has, or it is clear that this takes longer: then it goes on trying. Never rejects. */
  start (host: ClusterHost): Promise<void>
  /**
   * Takes a call for this node, and from whichever has it, which is told so. Never rejects, and resolves in some 100 ms at the
   * most.
   */
  claim (key: CallKey): Promise<Claim>
  /** Resolves with true if the cluster's limit allows one call more than `load`, or if Redis cannot be asked. Never rejects. */
  mayTake (): Promise<boolean>
  /** Has all nodes expect a call, for so many ms. Resolves with whether they do. Never rejects. */
  admit (callId: string, ttlMs: number): Promise<boolean>
  /** Leaves, when what was to be written is written, or cannot be. Never rejects. */
  close (): Promise<void>
}
