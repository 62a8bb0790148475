// Nodes made from text: whatever the server says is shown as text and never read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with a class and a text, either of which may be left out. */
export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A symbol of index.html, for the eye only. */
export function icon(href) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", href);
  svg.append(use);
  return svg;
}
