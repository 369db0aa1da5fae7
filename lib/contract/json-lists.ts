/**
 * Lists in JSON text, found without parsing it. Brackets in strings are text.
 */

/** How deep lists may be nested. No frame of a provider needs more than five levels. */
const DEEPEST = 1_000

/**
 * True if lists are nested deeper than any frame needs. Parsing such a text takes up to sixty times as long as parsing an ordinary one of
 * the same size. Objects are not counted: each level needs a name, so nested objects cost no more than other members.
 */
export function nestsLists (text: string): boolean {
  return hasManyLists(text) && isDeep(text)
}

// An ordinary frame has few lists that are not empty. Finding them is one native search each.
function hasManyLists (text: string): boolean {
  let lists = 0
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) {
    if (text.charCodeAt(at + 1) !== CLOSE && ++lists >= DEEPEST) return true
  }
  return false
}

function isDeep (text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case OPEN:
        if (++depth > DEEPEST) return true
        break
      case CLOSE:
        depth--
    }
  }
  return false
}

/** The index of the end of the list that begins at `open`; -1 if it does not end. */
export function endOfList (text: string, open: number): number {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case OPEN:
        depth++
        break
      case CLOSE:
        if (--depth === 0) return at
    }
  }
  return -1
}

function endOfString (text: string, open: number): number {
  for (let at = text.indexOf('"', open + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return at
  }
  return text.length
}

const QUOTE = 34
const OPEN = 91
const BACKSLASH = 92
const CLOSE = 93
