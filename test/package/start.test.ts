import t from 'tap'
import { start } from '../../bench/scenarios/start.js'

t.test('an app with the plugin listens, and what is installed for it stays within the budget of docs/performance.md', async t => {
  const size = { quick: true, servers: 1, seconds: 1, calls: undefined, seed: 0, logs: undefined }
  const figures = await start.perform({ size, progress: () => {} })
  const value = (label: string): number => figures.find(figure => figure.label === label)?.value ?? NaN
  for (const what of ['CPU until it listens', 'time until it listens', 'resident memory', 'packages', 'installed']) {
    t.ok(value(`${what}: ratio`) > 0, `${what}: ${value(`${what}: with the plugin`)} to ${value(`${what}: Fastify alone`)}`)
  }
  t.ok(value('packages: with the plugin') <= 82, `${value('packages: with the plugin')} packages`)
  t.ok(value('installed: with the plugin') <= 52, `${value('installed: with the plugin')} MiB`)
})
