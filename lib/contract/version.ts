/** The version of this package. A constant, since a bundle has no package.json to read it from; `npm version` writes both. */
export const VERSION = '0.1.0'
