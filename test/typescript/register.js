/**
 * Transpiles TypeScript for tests, in place of tap's own loader: that loads the compiler twice in every process, and has it
 * compile all of lib anew in each. Tap is told to do without by TAP_TYPE_STRIP_ONLY.
 */
import { register } from 'node:module'

register('./hooks.js', import.meta.url)
