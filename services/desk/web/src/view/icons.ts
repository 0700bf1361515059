/** Small pictures beside words, never instead of them: all hidden from screen readers. */
import { svg, html, type TemplateResult } from "lit";

function icon(path: TemplateResult): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${path}</svg>`;
}

const HANDSET =
  "M6.6 3.5 9 3l2 4.700-2.100 1.800a11 11 0 0 0 5.600 5.600l1.800-2.100 4.700 2-.5 2.400c-.3 1.500-1.500 2.600-3 2.600C10.500 20 4 13.500 4 6.500c0-1.500 1.100-2.700 2.600-3Z";

const BELL = "M6 17V11a6 6 0 0 1 12 0v6l1.500 2h-15L6 17ZM10 21.500h4";

export const icons = {
  ringing: icon(svg`<path d=${HANDSET} /><path d="M15 3.500a6 6 0 0 1 5.500 5.500M15 7a2.600 2.600 0 0 1 2 2" />`),
  answered: icon(svg`<path d=${HANDSET} />`),
  held: icon(svg`<path d="M9 6v12M15 6v12" />`),
  closed: icon(svg`<path d="m5 12.500 4.500 4.500L19 7.500" />`),
  waiting: icon(svg`<path d=${HANDSET} />`),
  warning: icon(svg`<path d="M12 4 2.800 20h18.400L12 4ZM12 10v4.500M12 17.200v.3" />`),
  forbidden: icon(svg`<circle cx="12" cy="12" r="8.500" /><path d="m6.200 6.200 11.600 11.600" />`),
  bell: icon(svg`<path d=${BELL} />`),
  silent: icon(svg`<path d=${BELL} /><path d="M4 4l16 16" />`),
  clock: icon(svg`<circle cx="12" cy="12" r="8.500" /><path d="M12 7v5l3.500 2" />`),
};
