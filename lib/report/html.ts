/** HTML that may stand in a page as it is. Everything else is escaped. */
export class Markup {
  constructor(readonly text: string) {}
}

type Part = Markup | string | number | undefined | false | null | readonly Part[];

/** A template whose values are escaped unless they are Markup; arrays are joined, and undefined, null, false left out. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Markup {
  return new Markup(strings.map((text, i) => text + (i < parts.length ? render(parts[i]) : '')).join(''));
}

function render(part: Part): string {
  if (part === undefined || part === null || part === false) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escapeHtml(String(part));
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * Text that is neither markup nor a place for code in an element or a quoted attribute. Control characters, which HTML
 * does not allow, and those that turn the direction of the text around them go; halves of characters are replaced.
 */
export function escapeHtml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => (/\s/.test(character) ? ' ' : ''))
    .replace(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

/** Other people's text: in the direction of its own first letter, cut to a length that can be read. */
export function foreign(text: string, longest = 400): Markup {
  return html`<bdi>${shorten(text, longest)}</bdi>`;
}

/** Other people's text where no element can be: in a plot's tick or tip, or amid a sentence. One line, short. */
export function plain(text: string, longest = 40): string {
  const clean = text.slice(0, 100 * longest).toWellFormed();
  return shorten(clean.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim(), longest);
}

function shorten(text: string, longest: number): string {
  const characters = [...text.slice(0, 2 * longest)];
  return characters.length <= longest && text.length <= 2 * longest
    ? text
    : `${characters.slice(0, longest).join('')}…`;
}
