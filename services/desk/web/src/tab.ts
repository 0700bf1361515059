/** What the tab itself says while the page is behind others: the caller in the title, another picture. */

const CALM = "/favicon.svg";
const RINGING = "/favicon-ringing.svg";

/** `calls`: one sentence for each call that rings. `now` (ms) drives the flashing, one change a second. */
export function showInTab(calls: readonly string[], product: string, now: number): void {
  const title = tabTitle(calls, product, now, matchMedia("(prefers-reduced-motion: reduce)").matches);
  if (document.title !== title) document.title = title;
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const picture = calls.length > 0 ? RINGING : CALM;
  if (icon && icon.getAttribute("href") !== picture) icon.setAttribute("href", picture);
}

/** The name is what stays; only a mark before it comes and goes, and not even that with reduced motion. */
export function tabTitle(calls: readonly string[], product: string, now: number, calm: boolean): string {
  if (calls.length === 0) return product;
  const mark = calm || Math.floor(now / 1000) % 2 === 0 ? "● " : "○ ";
  return mark + calls.join(" · ");
}
