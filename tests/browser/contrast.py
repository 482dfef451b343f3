"""WCAG 2 contrast of the text a page shows, from the colours the browser computed."""

# The ratio of relative luminances (WCAG 2.2, success criterion 1.4.3), of every visible element
# that holds text of its own against the nearest opaque background behind it.
SCRIPT = """
(root) => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = parse(getComputedStyle(e).backgroundColor);
      if (found.alpha === 1) { return found.rgb; }
    }
    return [255, 255, 255];
  };
  const ratio = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  const add = (element, style, text) => {
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    found.push({
      text: text.trim().slice(0, 60),
      ratio: ratio(parse(style.color).rgb, behind(element)),
      needed: size >= 24 || (bold && size >= 18.66) ? 3 : 4.5,
    });
  };
  for (const element of root.querySelectorAll('*')) {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) {
      continue;
    }
    const style = getComputedStyle(element);
    const own = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE);
    const text = own.map((n) => n.textContent).join(' ');
    if (element.tagName !== 'STYLE' && element.tagName !== 'OPTION' && text.trim()) {
      add(element, style, text);
    }
    if (element.matches('input[type=text], input[type=number], select')) {
      add(element, style, element.value);
      if (element.placeholder) {
        add(element, getComputedStyle(element, '::placeholder'), element.placeholder);
      }
    }
  }
  return found;
}
"""


def contrasts(page, selector: str) -> list[dict]:
    """Return text, contrast ratio and the ratio needed (AA) of all that is written in a part."""
    return page.locator(selector).first.evaluate(SCRIPT)
