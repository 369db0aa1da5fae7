/**
 * Loads Ajv where a tool has a JSON Schema. Only CommonJS can load a module synchronously and late in a way that bundlers follow.
 */

/** Ajv for JSON Schema 2020-12. */
export declare const loadAjv2020: () => typeof import('ajv/dist/2020.js')
/** Ajv for the drafts up to 07. */
export declare const loadAjv: () => typeof import('ajv')
/** The formats of JSON Schema, such as `date`. */
export declare const loadFormats: () => typeof import('ajv-formats')

exports.loadAjv2020 = () => require('ajv/dist/2020.js')
exports.loadAjv = () => require('ajv')
exports.loadFormats = () => require('ajv-formats')
