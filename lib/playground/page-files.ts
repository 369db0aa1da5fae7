/**
 * The scripts, styles and icon of the playground's pages. A dozen known files need no static file server.
 */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../contract/errors.js'

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml'
}

/**
 * @param url of the playground's module, compiled or not; undefined in a bundle that is CommonJS
 * @returns path of the folder with the compiled pages, with a slash at its end
 * @throws VOICE_AGENT_ERR_CONFIG where there is no such folder: the module is part of a bundle
 */
export function pageFolder (url: string | undefined): string {
  const folder = url === undefined ? undefined : fileURLToPath(new URL('../../dist/playground/page/', url))
  if (folder !== undefined && existsSync(folder)) return folder
  throw new ConfigError('the playground has files that a bundle does not hold: mark fastify-voice-agent as external, or set enabled: false')
}

/**
 * Adds a route for each file of a folder that a page may load. Reads the files once.
 * @param folder path of the folder, with a slash at its end
 */
export async function servePageFiles (scope: FastifyInstance, folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const headers = { 'content-type': type, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' }
    const content = await readFile(folder + name)
    scope.get(`/playground/${name}`, (_request, reply) => reply.headers(headers).send(content))
  }
}
