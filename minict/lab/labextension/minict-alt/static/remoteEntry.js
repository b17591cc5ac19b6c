/* An extension of JupyterLab, written by hand: it gives each picture of an output the words that stand for it.
 *
 * JupyterLab shows image/png as an <img> without alt, and leaves out the text/plain beside it.  Those who cannot see the
 * picture would hear nothing of it.  The two functions below are what JupyterLab expects of a built extension.
 */
(function () {
  function describe(panel) {
    const cells = panel && panel.content && panel.content.widgets ? panel.content.widgets : [];
    for (const cell of cells) {
      const area = cell.outputArea;
      if (!area) continue;
      area.widgets.forEach((child, number) => {
        const output = number < area.model.length ? area.model.get(number) : null;
        const words = output && output.data && output.data['text/plain'];
        if (!words) return;
        for (const image of child.node.querySelectorAll('.jp-RenderedImage img')) {
          const text = String(words).replace(/^\[Picture: ([^]*)\]$/, '$1');
          if (image.alt !== text) image.alt = text;
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
