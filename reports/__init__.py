"""What do we tell people, and did it get worse? Reads run files only; never imports torch.

quantities    numbers as people read them           fields      what a run says, and what it does not
findings      the results in sentences              digest      summary(): a dozen lines for the terminal
markup        Markdown from the text of others      tables      the rows of a run
citations     published numbers with their sources  canvas      the look of the figures
figures       accuracy and energy over steps        efficiency  SynOps per joule, beside chips and biology
comparison    several recipes on one network as a table
pages         render(): report.md and its figures   errors      the error tree
"""

from reports.comparison import comparison_page, comparison_text
from reports.digest import summary
from reports.errors import ReportError
from reports.pages import render

__all__ = ["ReportError", "comparison_page", "comparison_text", "render", "summary"]
