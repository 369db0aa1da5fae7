/** Ends a sentence, as voices want it before they begin to speak. Behind a digit more digits may come. */
const SENTENCE_END = /[.!?…。！？][\s"')\]]|(?:[!?…。！？]|(?<!\d)\.)$/

/** Is there a whole sentence in it? */
export function hasSentence (text: string): boolean {
  return SENTENCE_END.test(text)
}
