/**
 * What an expert writes by hand: a bare `ws` server, undici's `request` with its defaults and a small reader of
 * server-sent events, one frame a token.
 */
import { serve } from './by-hand.js'
import { ask } from './undici-ask.js'

serve(ask)
