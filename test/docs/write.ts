/**
 * `npm run docs`: writes the pages that are generated. Tests compare them.
 */
import { writeFileSync } from 'node:fs'
import { architecturePage } from './architecture-page.js'
import { optionsPage } from './options-page.js'

writeFileSync('docs/options.md', optionsPage())
writeFileSync('docs/architecture.md', architecturePage())
