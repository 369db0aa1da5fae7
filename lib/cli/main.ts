#!/usr/bin/env node
import { run } from './run.js'

// Whoever reads the output may have seen enough.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => { if (code === 'EPIPE') process.exit() })

process.exitCode = await run(process.argv.slice(2), process)
