#!/usr/bin/env node
import { run } from './run.js'

// The reader may close the pipe early, as `head` does.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => { if (code === 'EPIPE') process.exit() })

process.exitCode = await run(process.argv.slice(2), process)
