/**
 * Every error the plugin can raise. Messages never hold what callers or agents said, phone numbers or secrets.
 */
import { createError } from '@fastify/error'

// Start-up: the app does not become ready.

/** An option or environment variable has a value that is not accepted. The message names it, never a secret's value. */
export const ConfigError = createError<[string]>('VOICE_AGENT_ERR_CONFIG', '%s', 500)

/** `fastify.agent` is decorated with something else than an agent. The message names its type, and what to write. */
export const AgentError = createError<[string]>('VOICE_AGENT_ERR_AGENT', 'fastify.agent must be a function (turn) => reply, got %s', 500)

/** The instance already has the plugin, or another decorator named `calls`. */
export const AlreadyRegisteredError = createError<[]>('VOICE_AGENT_ERR_ALREADY_REGISTERED',
  'fastify.calls already exists here: register voiceAgentPlugin once per scope, each line in an app.register(async scope => …) of its own',
  500)

// Before the upgrade: the handshake is refused.

/** The address or the secret is not admitted. No detail leaves the server; the log names the address that was checked. */
export const ForbiddenError = createError<[]>('VOICE_AGENT_ERR_FORBIDDEN', 'Forbidden', 403)

/** The request has more headers than the server reads, so the headers that admission checks may be missing. */
export const HeadersError = createError<[]>('VOICE_AGENT_ERR_HEADERS', 'The request has too many headers', 431)

/** A plain request to a WebSocket's URL: a browser opened it, or a proxy dropped the upgrade headers. */
export const UpgradeRequiredError = createError<[]>('VOICE_AGENT_ERR_UPGRADE_REQUIRED',
  'This URL accepts WebSocket connections only: the request needs `Connection: Upgrade` and `Upgrade: websocket`, ' +
  'and a proxy in between must forward both', 426)

/** The URL holds no usable call id. */
export const CallIdError = createError<[]>('VOICE_AGENT_ERR_CALL_ID', 'The URL must end in a call id', 400)

/** A limit on calls is reached, or the app is under pressure. The log says which. */
export const LimitError = createError<[]>('VOICE_AGENT_ERR_LIMIT', 'The server takes no more calls at the moment', 503)

/** The playground was requested without its token, from another machine, or by another page. */
export const PlaygroundError = createError<[]>('VOICE_AGENT_ERR_PLAYGROUND',
  'Open the playground by the URL with a token that the server printed at its start, on the same machine and without a tunnel, ' +
  'or register it with allowRemote', 403)

/** The page of live calls has its maximum of viewers, or the server is closing. */
export const ViewersError = createError<[]>('VOICE_AGENT_ERR_VIEWERS', 'The page of live calls has no room for another viewer', 503)

/** The server is closing and takes no new calls. */
export const ClosingError = createError<[]>('VOICE_AGENT_ERR_CLOSING', 'The server is closing', 503)

// Answers to clients of the webhooks and of the control plane.

/** A webhook without a valid signature, or a control request without the token. No detail leaves the server; the log has the reason. */
export const UnauthorizedError = createError<[]>('VOICE_AGENT_ERR_UNAUTHORIZED', 'Unauthorized', 401)

/** A webhook with a valid signature and a body that cannot be read. */
export const WebhookError = createError<[string]>('VOICE_AGENT_ERR_WEBHOOK', 'The webhook is %s', 400)

/** The limit of webhook bodies that are read before their signatures are checked is reached. */
export const WebhookLimitError = createError<[]>('VOICE_AGENT_ERR_WEBHOOK_LIMIT', 'The server reads no more webhooks at the moment', 503)

/** The body of a webhook took too long to arrive. */
export const WebhookTimeoutError = createError<[]>('VOICE_AGENT_ERR_WEBHOOK_TIMEOUT', 'The webhook was not there within 10 s', 408)

/** A hook returned a value that the provider would drop. It is logged, and the provider is answered without the value. */
export const HookReplyError = createError<[string, string, string]>('VOICE_AGENT_ERR_HOOK_REPLY', 'What %s returned: %s: %s', 500)

/** The control plane knows no live call with this id. */
export const NoCallError = createError<[]>('VOICE_AGENT_ERR_NO_CALL', 'There is no such call', 404)

// During a call: for the author of the agent.

/** The provider of this call has no such feature. */
export const UnsupportedError = createError<[string, string]>('VOICE_AGENT_ERR_UNSUPPORTED', '%s is not supported by %s', 501)

/** An action was built with a value that no provider accepts. */
export const ActionError = createError<[string]>('VOICE_AGENT_ERR_ACTION', '%s', 400)

/** The agent returned or yielded something that cannot be spoken. */
export const SpeechError = createError<[string]>('VOICE_AGENT_ERR_SPEECH',
  'An agent speaks strings and actions, got %s', 500)

/** The call is over, or its provider is not connected, so it cannot be controlled. */
export const CallEndedError = createError<[]>('VOICE_AGENT_ERR_CALL_ENDED', 'The call has ended, or its provider is not connected', 410)

/**
 * The other nodes could not be reached, or the node that has the call did not answer in time: it may or may not have carried out the
 * request. The message says which.
 */
export const ClusterError = createError<[string]>('VOICE_AGENT_ERR_CLUSTER', '%s', 503)

/** A model gave no answer that could be spoken: nothing at all, or its content filter stopped it. The message says which. */
export const ModelError = createError<[string]>('VOICE_AGENT_ERR_MODEL', 'The model %s', 502)

/** Why a turn was aborted. */
export type AbortReason = 'superseded' | 'interrupted' | 'interjected' | 'ended' | 'deadline' | 'disconnected' | 'hang-up'

/**
 * `turn.signal.reason` of an aborted turn. Named `AbortError`, as HTTP clients expect of a signal's reason, so that
 * `fetch`, undici and the openai client pass it on as an abort and not as a failure.
 */
export class TurnAbortedError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'VOICE_AGENT_ERR_TURN_ABORTED'
  /**
   * superseded: a newer turn came; interrupted: the caller spoke over it; interjected, ended: by `call.interject()`, `call.end()` or
   * `call.transfer()`; deadline: the agent took too long; disconnected: the provider's socket closed, and the provider may dial again;
   * hang-up: the call is over.
   */
  readonly reason: AbortReason

  constructor (reason: AbortReason) {
    super(`The turn was aborted: ${reason}`)
    this.reason = reason
  }
}

/**
 * For tools to throw: the model gets its message, and may repeat it to the caller. Other errors are logged, and the model learns only that
 * the tool failed.
 */
export class ToolError extends Error {
  override readonly name = 'ToolError'
}

/** The deadline that was exceeded: for the first word, the next one, the end of the reply, or a tool. */
export type Deadline = 'first-token' | 'token-gap' | 'turn' | 'tool'

/**
 * A turn exceeded one of its `deadlines`: the error is given to `fallback` and is in the turn's report. Or a tool exceeded its timeout: the
 * error is the reason of the tool's signal, and the turn goes on.
 */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
  readonly code = 'VOICE_AGENT_ERR_DEADLINE'
  readonly deadline: Deadline
  /** The time allowed, in ms. */
  readonly ms: number

  constructor (deadline: Deadline, ms: number) {
    super(`The agent exceeded the ${deadline} deadline of ${ms} ms`)
    this.deadline = deadline
    this.ms = ms
  }
}
