/** The end of a sentence, which voices wait for before they speak. After a digit more digits may follow. */
const SENTENCE_END = /[.!?…。！？][\s"')\]]|(?:[!?…。！？]|(?<!\d)\.)$/

/** True if the text holds a whole sentence. */
export function hasSentence (text: string): boolean {
  return SENTENCE_END.test(text)
}
