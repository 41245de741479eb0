/**
 * Milliseconds that a server asks to wait, from `Retry-After` (seconds or a date, RFC 9110 section 10.2.3) or the
 * `retry-after-ms` of some LLM servers; undefined where it asks for nothing or for what cannot be read.
 */
export function retryAfter(headers: Headers, now = Date.now()): number | undefined {
  const exact = headers.get('retry-after-ms');
  if (exact !== null && /^\d+(\.\d+)?$/.test(exact.trim())) return Number(exact);
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
