/**
 * The reference of all options, made of the table of settings and of the doc comments of the options' types.
 */
import ts from 'typescript'
import { OPTION_NAMES } from '../../lib/config/option-check.js'
import { settings } from '../../lib/config/settings.js'

const HEAD = `# Options

All options of \`app.register(voiceAgentPlugin, options)\`, and the variables of the environment that stand for the same. Everything is
optional. An option wins over its variable. Wrong values stop the start with an error that names the variable, the option and what is
accepted. Lists are written with commas in a variable, and as a list or with commas in an option.

The page is generated (\`npm run docs\`) from the settings in \`lib/config/settings.ts\` and \`lib/providers/\` and from the comments of the
options' types.
`

/** What a doc comment says of an option. */
interface Comment {
  readonly text: string
  readonly default: string | undefined
  /** The variable of the environment, where the comment names it. */
  readonly variable: string | undefined
}

interface Row {
  readonly option: string
  readonly comment: Comment
  readonly variable: string | undefined
}

/** Reads the doc comments of all options. */
export function readComments (): Map<string, Comment> {
  const file = 'lib/config/options.ts'
  const { config } = ts.readConfigFile('tsconfig.json', name => ts.sys.readFile(name)) as { config: { compilerOptions: object } }
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, '.')
  const program = ts.createProgram([file], { ...options, noEmit: true })
  const checker = program.getTypeChecker()
  const comments = new Map<string, Comment>()
  ts.forEachChild(program.getSourceFile(file)!, node => {
    if (ts.isInterfaceDeclaration(node) && node.name.text === 'VoiceAgentOptions') collect(checker.getTypeAtLocation(node), '')
  })
  return comments

  function collect (type: ts.Type, prefix: string): void {
    for (const member of checker.getPropertiesOfType(type)) {
      const path = prefix + member.name
      if (!OPTION_NAMES.includes(path)) continue
      const inner = checker.getNonNullableType(checker.getTypeOfSymbol(member))
      const types = inner.isUnion() ? inner.types : [inner]
      const isGroup = OPTION_NAMES.some(name => name.startsWith(`${path}.`))
      const own = textOf(member.getDocumentationComment(checker))
      const ofType = types.map(type => textOf(type.symbol?.getDocumentationComment(checker) ?? [])).find(text => text !== '') ?? ''
      const tags = new Map(member.getJsDocTags(checker).map(({ name, text }) => [name, textOf(text ?? [])]))
      comments.set(path, { text: own === '' && isGroup ? ofType : own, default: tags.get('default'), variable: tags.get('env') })
      if (isGroup) for (const part of types) collect(part, `${path}.`)
    }
  }
}

function textOf (parts: ts.SymbolDisplayPart[]): string {
  return ts.displayPartsToString(parts).replace(/\s+/g, ' ').replace(/\{@link (\S+?) ?\}/g, '`$1`')
}

function rowsOf (rows: readonly Row[]): string {
  const lines = rows.map(({ option, comment: { text, default: value = '' }, variable }) =>
    `| \`${option}\` | ${variable === undefined ? '' : `\`${variable}\``} | ${value} | ${text.replaceAll('|', '\\|')} |`)
  return ['| option | variable | default | |', '| --- | --- | --- | --- |', ...lines].join('\n')
}

/** @returns the text of docs/options.md */
export function optionsPage (): string {
  const comments = readComments()
  const variables = new Map<string, string>(Object.entries(settings).map(([variable, { schema }]) => [schema.title!, variable]))
  const rows = OPTION_NAMES.map(option => ({ option, comment: comments.get(option)!, variable: variables.get(option) }))
  const groups = rows.filter(({ option }) => rows.some(other => other.option.startsWith(`${option}.`)) && !option.includes('.'))
  const general = rows.filter(({ option }) => !groups.some(group => option === group.option || option.startsWith(`${group.option}.`)))
  const sections = groups.map(({ option: group, comment: { text } }) => {
    const members = rows.filter(({ option }) => option.startsWith(`${group}.`) && !rows.some(other => other.option.startsWith(`${option}.`)))
    return `## \`${group}\`\n\n${text}\n\n${rowsOf(members)}\n`
  })
  return `${HEAD}\n## General\n\n${rowsOf(general)}\n\n${sections.join('\n')}`
}
