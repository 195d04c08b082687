"""The dashboard in a real browser, from the file system: it loads, filters, compares, shares; nothing foreign runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.dashboard import write_dashboard
from reports.datafiles import key_of
from reports.quantities import count, shift, significant
from tests.reports.planted import HOSTILE, commit, planted

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver; .ci/run installs both")

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--window-size=1280,900")  # fmt: skip
CASE = "digits-relu, digits x 450, seed, lif, T=16"
HERE = f"#/case/{key_of(CASE)}"
READY = "return document.body.dataset.ready === (location.hash || '#/')"
DRAWN = "return document.querySelector('.chart .main-svg') !== null"

Browser = Any
Open = Callable[..., Browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        yield driver
        driver.quit()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dashboard(planted(), tmp_path_factory.mktemp("site")).as_uri()


@pytest.fixture
def opened(browser: Browser, site: str) -> Iterator[Open]:
    """Opens an address of the site in a fresh page; afterwards nothing may have been complained about."""

    def go(address: str, until: str = READY) -> Browser:
        browser.get("about:blank")
        browser.get(f"{site}{address}")
        wait(browser, READY)
        wait(browser, until)
        return browser

    yield go
    assert [line["message"] for line in browser.get_log("browser")] == []
    assert browser.execute_script("return window.pwned") is None


def wait(browser: Browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60, poll_frequency=0.02).until(lambda page: page.execute_script(script))


def texts(browser: Browser, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
    )


def choose(browser: Browser, field: str, value: str) -> None:
    """What a reader does with a field of the filters."""
    browser.execute_script(
        "const e = document.querySelector(`[name='${arguments[0]}']`); e.value = arguments[1];"
        "e.dispatchEvent(new Event(e.type === 'search' ? 'input' : 'change', {bubbles: true}))", field, value,
    )  # fmt: skip
    wait(browser, READY)


def test_the_overview_filters_and_shares_what_it_shows(opened: Open) -> None:
    page = opened("")
    rows = "#rows tbody th a"
    assert len(texts(page, rows)) == 4 and not page.execute_script(DRAWN)
    assert page.execute_script("return !document.querySelector('script[src*=plotly]')"), "plots are loaded when shown"
    choose(page, "network", "fashion-cnn")
    assert texts(page, rows) == ["fashion-cnn, best-signed, T=8"]
    choose(page, "network", "")
    choose(page, "model", "chip-affine-loihi")
    assert "energy.chip-affine-loihi.snn_j" in texts(page, "#count")[0]
    choose(page, "status", "improved")
    shared = page.execute_script("return location.hash")
    assert texts(page, rows) == ["digits-tanh, seed, T=16"]
    page.back()
    wait(page, READY)
    assert len(texts(page, rows)) == 4
    assert page.execute_script("return document.querySelector('[name=status]').value") == ""
    page = opened(shared)
    assert texts(page, rows) == ["digits-tanh, seed, T=16"]
    choose(page, "q", "nothing like it")
    assert "No case passes" in texts(page, "#rows")[0]


def test_a_planted_change_is_shown_with_its_commit_and_layer(opened: Open) -> None:
    page = opened(f"{HERE}?metric=synops.per_inference", DRAWN)
    assert texts(page, "#title") == [CASE]
    row = " ".join(texts(page, "#points tbody tr"))
    assert commit(34)[:8] in row and "+20 %" in row and "worse" in row and "conv2" in row and "seed" in row
    assert "regressed" in texts(page, ".standing")[0]
    page.execute_script("document.querySelector('#points a').click()")
    wait(page, "return document.querySelector('#layers') !== null")
    assert "4,000 → 6,600" in " ".join(texts(page, "#layers td.most"))
    page.back()
    wait(page, "return document.querySelector('#points') !== null")
    page.execute_script("document.querySelector('details').open = true")
    wait(page, "return document.querySelectorAll('details tbody tr').length === 40")


def test_a_slower_commit_is_found_among_noisy_times(opened: Open) -> None:
    page = opened(f"#/case/{key_of('fashion-cnn, best-signed, T=8')}?metric=time.simulate", DRAWN)
    assert len(texts(page, "#points tbody tr")) == 1 and commit(20)[:8] in texts(page, "#points tbody tr")[0]
    assert "From a clock" in texts(page, "#main")[0]


def test_two_runs_side_by_side(opened: Open) -> None:
    page = opened("#/compare")
    options = page.execute_script("return [...document.querySelector('[name=run-a]').options].map((o) => o.value)")
    choose(page, "case-a", key_of(CASE))
    choose(page, "case-b", key_of("fashion-cnn, best-signed, T=8"))
    assert len(options) == 2, "at first the case that changed last"
    names = texts(page, "#metrics tbody th")
    cells = dict(zip(names, texts(page, "#metrics tbody tr"), strict=True))
    assert "-17 %better" in cells["synops.per_inference"] and "-1.8 pointsworse" in cells["snn.accuracy"]
    assert "lost" in cells["latency.steps_within_0.5pp"] and "no evidence" in cells["time.simulate"]
    shared = page.execute_script("return location.hash")
    before = texts(page, "#metrics")
    assert texts(opened(shared), "#metrics") == before
    opened(f"#/compare?a={key_of(CASE)}.0000000000000000")
    assert "is not in the history" in texts(page, "#main")[0]


def test_hostile_names_stay_text(opened: Open) -> None:
    page = opened(f"#/case/{key_of(HOSTILE + '</script>, T=4')}", DRAWN)
    assert HOSTILE in texts(page, "#title")[0] and HOSTILE in texts(page, "#main")[0]
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    page = opened("#/changes")
    assert any(HOSTILE in text for text in texts(page, ".changes"))
    page = opened(f"#/case/{HOSTILE}")
    assert "not in the history" in texts(page, "#title")[0]


def test_numbers_are_those_of_the_report(opened: Open) -> None:
    page = opened("")
    values = [1.0, 0.0456, 1234.5, 0.5, 99.96, 12345678.9, 3e-7, 25184.0]
    assert page.execute_script("return arguments[0].map((v) => significant(v))", values) == list(
        map(significant, values)
    )
    counts = [25184.0, 12345.6, 0.8312, 3.0, 0.0456]
    assert page.execute_script("return arguments[0].map(count)", counts) == list(map(count, counts))
    pairs = [(0.98, 0.96, "fraction"), (100.0, 103.3, "SynOps"), (1.0, None, "J"), (None, 1.0, "J"), (2.0, 2.0, "J"),
             (0.9, 0.912, "R2"), (-2.0, -3.0, "V"), (1.0, 1.00001, "J")]  # fmt: skip
    told = page.execute_script("return arguments[0].map((row) => shift(...row))", pairs)
    assert told == [shift(*row) for row in pairs]


def test_it_reads_on_a_telephone_and_without_a_mouse(opened: Open) -> None:
    page = opened("")
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    for address in ("#/", "#/changes", "#/compare", HERE):
        opened(address)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390, address
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    nameless = page.execute_script(
        "return [...document.querySelectorAll('a, button, select, input')]"
        ".filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    )
    assert nameless == 0
    assert page.execute_script("return document.querySelectorAll('svg[role=img]:not([aria-label])').length") == 0


def test_a_missing_data_file_is_named(opened: Open, site: str, browser: Browser, tmp_path: Path) -> None:
    page = write_dashboard(planted(2), tmp_path)
    (tmp_path / "data" / "index.js").unlink()
    browser.get(page.as_uri())
    wait(browser, "return document.querySelector('[role=alert]') !== null")
    assert "data/index.js is missing" in texts(browser, "[role=alert]")[0]
    assert "ERR_FILE_NOT_FOUND" in browser.get_log("browser")[0]["message"]
