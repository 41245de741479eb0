/**
 * A text as one line for the terminal: runs of white space, control and direction characters become one space each.
 * Passages and queries are other people's text, and such characters would act on the reader's terminal.
 */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
}
