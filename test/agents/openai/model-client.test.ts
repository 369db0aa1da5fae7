import t from 'tap'
import { ModelClient } from '../../../lib/agents/openai/model-client.js'

t.test('whose interface is spoken, and where', async t => {
  const serverOf = (options: ConstructorParameters<typeof ModelClient>[0]) => {
    const client = new ModelClient({ apiKey: 'key', ...options }, { model: 'small', stream: true })
    t.teardown(() => client.close())
    return client.server
  }
  t.strictSame(serverOf({}), { provider: 'openai', address: 'api.openai.com', port: 443 })
  t.strictSame(serverOf({ baseURL: 'http://models.example.com/v1' }), { provider: 'openai', address: 'models.example.com', port: 80 })
  t.strictSame(serverOf({ baseURL: 'http://127.0.0.1:8080/v1' }), { provider: 'openai', address: '127.0.0.1', port: 8080 })
  t.strictSame(serverOf({ azure: { endpoint: 'https://desk.openai.azure.com', apiKey: 'key' } }), { provider: 'azure.ai.openai', address: 'desk.openai.azure.com', port: 443 })
})
