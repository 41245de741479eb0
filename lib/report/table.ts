import { html, Markup } from './html.js';

type Cell = Markup | string;

/** A cell for a number; other cells are given as text. */
export function numberCell(text: string): Markup {
  return html`<td class="number">${text}</td>`;
}

/** More columns than these need their headings broken, on paper. */
const MANY_COLUMNS = 12;

/**
 * A table that scrolls by itself where the screen is narrow; the first cell of a row is its heading.
 * @param label what it shows, for those who hear it
 */
export function table(label: string, columns: readonly string[], rows: readonly (readonly Cell[])[]): Markup {
  const isNumber = (column: number) => rows.some((row) => isNumberCell(row[column]));
  const heads = columns.map(
    (name, i) => html`<th scope="col"${isNumber(i) && new Markup(' class="number"')}>${name}</th>`,
  );
  const isWide = columns.length > MANY_COLUMNS;
  const body = rows.map((row) => html`<tr>${row.map((cell, i) => cellOf(cell, i))}</tr>`);
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0"><table${isWide && new Markup(' class="wide"')}><thead><tr>${heads}</tr></thead>
<tbody>${body}</tbody></table></div>`;
}

function isNumberCell(cell: Cell | undefined): boolean {
  return cell instanceof Markup && cell.text.startsWith('<td class="number');
}

function cellOf(cell: Cell, column: number): Markup {
  if (cell instanceof Markup && cell.text.startsWith('<td')) return cell;
  return column === 0 ? html`<th scope="row">${cell}</th>` : html`<td class="text">${cell}</td>`;
}
