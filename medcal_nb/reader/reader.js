// Keys and picture of the reader view. Keys pressed inside it never reach the notebook around it:
// the listener sits on the window and captures, so that it comes before JupyterLab's own, for which
// "a" inserts a cell. Keys with Ctrl, Alt or Cmd stay the notebook's.
(() => {
  if (window.medcalReader) { return; }
  window.medcalReader = true;
  const BUTTONS = {
    a: 'accept', o: 'override', d: 'defer', c: 'commit', j: 'next', k: 'previous',
    u: 'undecided', s: 'summary', z: 'undo', n: 'more',
  };
  const WRITES = 'input:not([type=radio]):not([type=checkbox]), textarea, select';
  const ROOT = '.medcal-reader';
  const clip = (value, low, high) => Math.min(Math.max(value, low), high);
  const rootOf = (node) => (node && node.closest ? node.closest(ROOT) : null);
  const take = (root) => {
    root.tabIndex = -1;  // takes the focus by click, not by Tab
    root.focus({ preventScroll: true });
  };

  // the picture: zoom and place by a transform, window and level by a linear filter
  const views = new WeakMap();
  let serial = 0;
  const viewOf = (frame) => {
    if (!views.has(frame)) {
      const id = `medcal-window-${serial++}`;
      const channel = ['R', 'G', 'B'].map((c) => `<feFunc${c} type="linear"/>`).join('');
      frame.insertAdjacentHTML('beforeend',
        `<svg width="0" height="0" aria-hidden="true"><filter id="${id}"
          color-interpolation-filters="sRGB"><feComponentTransfer>${channel}
          </feComponentTransfer></filter></svg>`);
      views.set(frame, { id, zoom: 1, x: 0, y: 0, window: 1, level: 0.5 });
    }
    return views.get(frame);
  };
  const draw = (frame, change) => {
    const view = Object.assign(viewOf(frame), change);
    view.zoom = clip(view.zoom, 1, 16);
    view.window = clip(view.window, 0.05, 2);
    view.level = clip(view.level, 0, 1);
    const [wide, high] = [frame.clientWidth, frame.clientHeight].map((s) => s * (view.zoom - 1) / 2);
    view.x = clip(view.x, -wide, wide);
    view.y = clip(view.y, -high, high);
    for (const part of frame.querySelectorAll('feComponentTransfer > *')) {
      part.setAttribute('slope', 1 / view.window);
      part.setAttribute('intercept', 0.5 - view.level / view.window);
    }
    const image = frame.querySelector('img');
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    const plain = view.window === 1 && view.level === 0.5;
    image.style.filter = plain ? '' : `url(#${view.id})`;
    const [w, l] = [view.window, view.level].map((share) => Math.round(100 * share));
    frame.parentElement.querySelector('.seen').textContent =
      `zoom ${view.zoom.toFixed(1)}, window ${w}, level ${l}`;
  };
  const scaled = (view, factor) =>
    ({ zoom: view.zoom * factor, x: view.x * factor, y: view.y * factor });
  const press = (frame, key) => {
    const view = viewOf(frame), step = 40;
    const change = {
      '+': scaled(view, 1.25), '=': scaled(view, 1.25), '-': scaled(view, 0.8),
      '[': { window: view.window * 0.9 }, ']': { window: view.window / 0.9 },
      ',': { level: view.level - 0.05 }, '.': { level: view.level + 0.05 },
      '0': { zoom: 1, x: 0, y: 0, window: 1, level: 0.5 },
      ArrowLeft: { x: view.x + step }, ArrowRight: { x: view.x - step },
      ArrowUp: { y: view.y + step }, ArrowDown: { y: view.y - step },
    }[key];
    if (change) { draw(frame, change); }
    return Boolean(change);
  };

  window.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) { return; }
    const target = event.target;
    const alone = document.body.dataset.voila === 'voila';
    const root = rootOf(target) || (alone && document.querySelector(ROOT));
    if (!root) { return; }
    event.stopImmediatePropagation();
    // Enter ends writing: what was written is sent, and keys are commands again
    if (event.key === 'Enter' && target.matches('input[type=text]')) { take(root); }
    if (target.matches(WRITES) || root.querySelector('.medcal-keys input:not(:checked)')) { return; }
    const frame = root.querySelector('.frame');
    const arrow = event.key.startsWith('Arrow');
    if (frame && (!arrow || target === frame) && press(frame, event.key)) {
      event.preventDefault();
      return;
    }
    if (event.key.toLowerCase() === 'h') {
      event.preventDefault();  // the letter is not written
      root.querySelector('.medcal-sure input').select();
      return;
    }
    let control = null;
    if (/^[1-9]$/.test(event.key)) {
      control = root.querySelectorAll('.medcal-own input[type=radio]')[Number(event.key) - 1];
    } else if (BUTTONS[event.key.toLowerCase()]) {
      control = root.querySelector(`.medcal-${BUTTONS[event.key.toLowerCase()]}`);
    }
    if (!control || event.repeat) { return; }
    event.preventDefault();
    take(root);
    if (!control.disabled) { control.click(); }
  }, true);

  window.addEventListener('pointerdown', (event) => {
    if (rootOf(event.target)) { rootOf(event.target).tabIndex = -1; }
  }, true);
  window.addEventListener('click', (event) => {
    const root = rootOf(event.target);
    if (!root) { return; }
    const key = event.target.dataset.key;
    if (key) { press(root.querySelector('.frame'), key); }
    if (!root.contains(document.activeElement)) { take(root); }
  });
  // a button that is switched off loses the focus: it stays inside
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      if (target.disabled && target === document.activeElement && rootOf(target)) {
        take(rootOf(target));
      }
    }
  }).observe(document.body, { subtree: true, attributeFilter: ['disabled'] });

  const frameOf = (event) => rootOf(event.target) && event.target.closest('.frame');
  window.addEventListener('wheel', (event) => {
    const frame = frameOf(event);
    // only once the picture was clicked, so that the page can be scrolled past it
    if (!frame || frame !== document.activeElement) { return; }
    event.preventDefault();
    draw(frame, scaled(viewOf(frame), event.deltaY < 0 ? 1.25 : 0.8));
  }, { passive: false });
  window.addEventListener('pointermove', (event) => {
    const frame = frameOf(event);
    if (!frame || event.buttons !== 1) { return; }
    const view = viewOf(frame);
    draw(frame, event.shiftKey
      ? { window: view.window + event.movementX / 200, level: view.level + event.movementY / 400 }
      : { x: view.x + event.movementX, y: view.y + event.movementY });
  });
  window.addEventListener('dblclick', (event) => {
    if (frameOf(event)) { press(frameOf(event), '0'); }
  });
})();
