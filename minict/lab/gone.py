"""Buttons and sliders whose kernel has ended say so: otherwise they would look usable, and ignore clicks."""

from __future__ import annotations

#: The class of a widget that says so.  JupyterLab marks each widget that has lost its kernel; this is style alone.
CLASS = "minict-alive"

# The last four rules are against JupyterLab's own, and name enough classes to outweigh them. Printed lines break
# between words, and those of source() scroll: both were broken inside a word. A link whose text is code looks like a
# link. Comments, such as those that offer a hint, have the colour of the high-contrast theme in the dark one, too.
STYLE = f"""<style>
.{CLASS}.jupyter-widgets-disconnected::after {{
  content: "The kernel of this notebook was restarted: run this cell again.";
  color: var(--jp-error-color1, #d32f2f); font-weight: 600; padding: .4em 0; display: block }}
.{CLASS}.jupyter-widgets-disconnected::before, .{CLASS} .jupyter-widgets-disconnected::before {{ content: none }}
.{CLASS}.jupyter-widgets-disconnected button, .{CLASS} .jupyter-widgets-disconnected.widget-button {{ opacity: .45;
  pointer-events: none }}
.jp-Cell .jp-OutputArea-output pre {{ word-break: normal; overflow-wrap: anywhere }}
.jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown pre, .jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown pre code {{
  white-space: pre; overflow-x: auto }}
.jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown a code {{ color: inherit }}
body[data-jp-theme-light="false"] .jp-Notebook {{ --jp-mirror-editor-comment-color: #56acac }}
</style>"""
