/** Texts that are no ids: they forge lines, hide what is there, or become another text in UTF-8. */
export const ODD_IDS: readonly string[] = [
  'call\n', '\n[12:00:00.000] INFO: call ended', 'a\rb', 'a\u0085b', 'a\u2028b', 'a\u2029b', 'a\0', '\t', '\u001b[2J', '\u007f', '\u009b2J',
  '\u202eb', 'a\u200bb', '\ufeffa', '\ud800', 'a\udc00', '\udc00\ud800', '', 'x'.repeat(257), '\u{1f642}'.repeat(129)
]

/** Texts that are ids, though no provider was seen to make such. */
export const FAIR_IDS: readonly string[] = ['a', '0', '-1', 'a b', 'é', 'e\u0301', '日本', '\u{1f642}', '../..', '{a}:b', '__proto__', 'toString', '%00', 'x'.repeat(256)]
