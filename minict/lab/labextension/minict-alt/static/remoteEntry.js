/* An extension of JupyterLab, written by hand: it shows what an output has beside what JupyterLab picks of it.
 *
 * A picture gets the words that stand for it: JupyterLab shows image/png as an <img> without alt, and leaves out the
 * text/plain beside it.  Buttons of a kernel that is gone, in a notebook that is opened again, are replaced by the picture
 * or the text that was saved with them: JupyterLab shows an error there.  The two functions at the end are what it expects
 * of a built extension.
 */
(function () {
  function wordsOf(data) {
    return String(data['text/plain'] || '').replace(/^\[Picture: ([^]*)\]$/, '$1');
  }

  function standIn(node, data, width) {
    const note = document.createElement('p');
    note.textContent = 'To use it again, run this cell again.';
    note.style.cssText = 'color: var(--jp-ui-font-color2, #616161); margin: .3em 0';
    let shown;
    if (data['image/png']) {
      shown = document.createElement('img');
      shown.src = 'data:image/png;base64,' + data['image/png'];
      shown.alt = wordsOf(data);
      if (width) shown.width = width;
    } else {
      shown = document.createElement('pre');
      shown.textContent = data['text/plain'] || '';
    }
    node.replaceChildren(shown, note);
  }

  function describe(panel) {
    const cells = panel && panel.content && panel.content.widgets ? panel.content.widgets : [];
    for (const cell of cells) {
      const area = cell.outputArea;
      if (!area) continue;
      area.widgets.forEach((child, number) => {
        const output = number < area.model.length ? area.model.get(number) : null;
        if (!output || !output.data || !output.data['text/plain']) return;
        const text = wordsOf(output.data);
        for (const image of child.node.querySelectorAll('.jp-RenderedImage img')) {
          if (image.alt !== text) image.alt = text;
        }
        for (const node of child.node.querySelectorAll('.jupyter-widgets')) {
          if (/^Error displaying widget/.test(node.textContent)) {
            const size = (output.metadata || {})['image/png'];
            standIn(node, output.data, size && size.width);
          }
        }
      });
    }
  }

  const plugin = {
    id: 'minict-alt:plugin',
    autoStart: true,
    activate: app => {
      let waiting = false;
      new MutationObserver(() => {
        if (waiting) return;
        waiting = true;
        setTimeout(() => {
          waiting = false;
          for (const panel of app.shell.widgets('main')) describe(panel);
        }, 200);
      }).observe(document.body, { childList: true, subtree: true });
    }
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['minict-alt'] = {
    init: () => undefined,
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin }))
  };
})();
