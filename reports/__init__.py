"""What do we tell people, and did it get worse? Reads run files only; never imports torch.

quantities    numbers as people read them           fields      what a run says, and what it does not
findings      the results in sentences              digest      summary(): a dozen lines for the terminal
markup        Markdown from the text of others      tables      the rows of a run
citations     published numbers with their sources  canvas      the look of the figures
figures       accuracy and energy over steps        efficiency  SynOps per joule, beside chips and biology
energies      the energy models side by side
comparison    several recipes on one network as a table
speed         what a benchmark found: times over the ANN's, peers, threads
scaling       its curves over steps, batch, width and firing rate
boards        a leaderboard read from its run       leaderboard its tables as Markdown
board_html    its page                              board_charts  accuracy against what it costs
searches      what a search found: its front, its choice, and how that did on samples it had not seen
budgets       what a metric may lose                pairing    which runs belong together
evidence      McNemar's test, paired ratios         movement   the layer that moved most
gate          gate(): pass, fail, not enough data   verdicts   told as Markdown, JUnit and lines
html          html_page(): one file, one run or several      formats   JSON and CSV
vectors       axes, curves and bars as SVG          charts     the figures of the page
rasters       one sample, spike by spike
templating    the templates of HTML pages
layering      layers as a table with bars
history       one light entry of a run: what a store keeps ready and a dashboard reads
store         open_store(): a history in SQLite or PostgreSQL, its commands, commits and branches for the gate
series        runs of a case in the order of commits      changes    change points: exactly, or by ranks
dashboard     write_dashboard(): a history as a site      datafiles, casefiles   what its pages read
rerunning     rerun(): the same numbers from the run file alone
pages         render(): report.md and its figures   errors      the error tree
"""

from reports.comparison import comparison_page, comparison_text
from reports.dashboard import write_dashboard
from reports.digest import summary
from reports.errors import ReportError
from reports.gate import gate
from reports.html import html_page
from reports.pages import render
from reports.rerunning import rerun
from reports.searches import search_page, search_text
from reports.speed import is_benchmark, render_speed, speed_lines

__all__ = [
    "ReportError",
    "comparison_page",
    "comparison_text",
    "gate",
    "html_page",
    "is_benchmark",
    "render",
    "render_speed",
    "rerun",
    "search_page",
    "search_text",
    "speed_lines",
    "summary",
    "write_dashboard",
]
