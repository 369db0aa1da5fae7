import ts from 'typescript'

/** A program of a user's, who is strict; `options` are what differs. */
export function compile (files: string[], options: ts.CompilerOptions): ts.Program {
  return ts.createProgram(files, {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    ...options
  })
}
