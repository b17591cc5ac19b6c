"""The style of the course's widgets and pages.

Buttons and sliders whose kernel has ended say so: otherwise they would look usable, and ignore clicks.
"""

from __future__ import annotations

#: The class of a widget that says so.  JupyterLab marks each widget that has lost its kernel; this is style alone.
CLASS = "minict-alive"

# A drawing is at most as wide as the page. The rules after that are against JupyterLab's own, and name enough classes
# to outweigh them:
# - Lines that are wider than the page go on below, and break between words. A line of code was cut off, and a printed
#   one broken inside a word.
# - Code in a sentence stays in one line, and so does a call in the first column of a table. Both were broken at hyphens
#   and commas.
# - A link whose text is code looks like a link.
# - In the dark theme comments, such as those that offer a hint, have the colour of the high-contrast theme, and
#   decorators a lighter one.
STYLE = f"""<style>
.{CLASS}.jupyter-widgets-disconnected::after {{
  content: "The kernel of this notebook was restarted: run this cell again.";
  color: var(--jp-error-color1, #d32f2f); font-weight: 600; padding: .4em 0; display: block }}
.{CLASS}.jupyter-widgets-disconnected::before, .{CLASS} .jupyter-widgets-disconnected::before {{ content: none }}
.{CLASS}.jupyter-widgets-disconnected button, .{CLASS} .jupyter-widgets-disconnected.widget-button {{ opacity: .45;
  pointer-events: none }}
.minict-card {{ display: inline-block; box-sizing: border-box; max-width: 100% }}
.minict-card > svg, .minict-card > img {{ display: block; max-width: 100%; height: auto }}
.jp-CodeCell .jp-InputArea-editor .cm-content {{ white-space: break-spaces; overflow-wrap: anywhere; flex-shrink: 1 }}
.jp-CodeCell .jp-InputArea-editor .cm-line {{ padding-left: calc(6px + 8ch); text-indent: -8ch }}
.jp-Cell .jp-OutputArea-output pre {{ word-break: normal; overflow-wrap: anywhere }}
.jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown pre, .jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown pre code {{
  white-space: pre-wrap }}
.jp-Cell .jp-RenderedHTMLCommon :is(p, li, td:first-child) > code {{ white-space: nowrap }}
.jp-Cell .jp-RenderedHTMLCommon.jp-RenderedMarkdown a code {{ color: inherit }}
body[data-jp-theme-light="false"] .jp-Notebook {{
  --jp-mirror-editor-comment-color: #56acac; --jp-mirror-editor-meta-color: #c58aff }}
</style>"""
