/**
 * What the playground's pages load: scripts, styles and an icon. A dozen known files need no server of static files.
 */
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { FastifyInstance } from 'fastify'

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml'
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
