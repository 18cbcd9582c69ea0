"""The web page in a headless Chromium: it opens, translates, shows every text as text, and can be used by keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.keys import SCOPES
from dragoman.server.page import operations as page_operations
from tests.server.browser import opened, wait
from tests.server.living import Live, living
from tests.server.shown import HOSTILE, in_use, training

PARTS = ("translate", "files", "models", "runs", "use")
XSS = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    '"><svg onload="window.hit = 1">',
    "'-(window.hit = 1)-'",
    "javascript:window.hit=1",
    "</textarea><script>window.hit = 1</script>",
    "<a href='javascript:window.hit=1'>x</a> {{7*7}} ${window.hit = 1}",
    "<iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
    "\u202e<b onmouseover=window.hit=1>right to left</b>",
]


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that gives every text back, of two models, that needs no key, and has runs to show."""
    folder = tmp_path_factory.mktemp("null")
    training(folder / "runs" / "mixed <i>")
    in_use(folder / "runs" / "used")
    models = [NullModel(), NullModel("other")]
    with living(Gateway(folder / "state", models=models, runs=folder / "runs")) as live:
        yield live


def translated(page: Any, text: str) -> str:
    """Type a text, and wait for its translation."""
    with page.expect_response("**/api/segments") as answer:
        page.fill("#text", text)
    assert answer.value.status == 200, answer.value.text()
    wait(page, "!document.querySelector('#out').hasAttribute('aria-busy')")
    return str(page.inner_text("#out"))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("part", PARTS)
def test_each_part_opens_without_a_complaint_and_can_be_read(browser: Any, null: Live, part: str, scheme: Any) -> None:
    with opened(browser, null.url, color_scheme=scheme) as one:
        page = one.open(part)
        if part == "translate":
            page.select_option("#from", "en")
            translated(page, "One sentence.")
            page.locator(".sentence").click()
        page.wait_for_load_state("networkidle")
        assert page.locator(f'nav a[href="#/{part}"]').get_attribute("aria-current") == "page"
        poor = page.evaluate(CONTRAST)
        assert not poor, poor
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) < 200) == (scheme == "dark")


@pytest.mark.slow
def test_a_text_is_translated_as_one_types(browser: Any, live: Live) -> None:
    with opened(browser, live.url) as one:
        page = one.open()
        page.select_option("#from", "en")
        page.select_option("#to", "de")
        assert translated(page, "Take one tablet. The dog sees a house.").startswith("Nehmen Sie eine Tablette.")
        assert page.locator(".sentence").count() == 2
        assert page.locator(".sentence.memory").count() == 1
        assert page.get_attribute("#out", "lang") == "de"
        assert "1 from the memory" in page.inner_text("#told")
        page.fill("#text", "")
        wait(page, "document.querySelector('#out').textContent === ''")


@pytest.mark.slow
def test_the_language_is_detected_and_shown(browser: Any, tmp_path: Path) -> None:
    """And it is said where nothing was detected: one language alone leads to the target, or the text is in none of them."""
    model = NullModel(directions=("de-en", "fr-en", "en-it"))
    with living(Gateway(tmp_path, models=[model])) as live, opened(browser, live.url) as one:
        page = one.open()
        page.select_option("#from", "auto")
        for target, text, told in (
            ("en", "Der Hund sieht ein Haus und einen Baum.", "German (detected)"),
            ("en", "123.", "German (a guess)"),
            ("it", "Der Hund sieht ein Haus.", "English (the only choice)"),
        ):
            page.select_option("#to", target)
            translated(page, text)
            wait(page, f"document.querySelector('#from option').textContent === {json.dumps(told)}")


@pytest.mark.slow
def test_a_match_shows_what_differs_and_a_correction_is_found_by_the_next_text(browser: Any, live: Live) -> None:
    with opened(browser, live.url) as one:
        page = one.open()
        page.select_option("#from", "en")
        page.select_option("#to", "de")
        translated(page, "Take nine tablet.")
        page.locator(".sentence").click()
        assert page.locator("#detail mark").first.inner_text() == "one"
        assert "%" in page.inner_text("#detail .match")
        page.fill("#edit", "Nehmen Sie neun Tabletten.")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved.").wait_for()
        wait(page, "document.querySelector('#out').innerText === 'Nehmen Sie neun Tabletten.'")
        assert page.locator(".sentence.memory").count() == 1


@pytest.mark.slow
def test_every_text_is_shown_as_text(browser: Any, null: Live) -> None:
    with opened(browser, null.url) as one:
        page = one.open()
        page.select_option("#from", "en")
        page.select_option("#to", "de")
        for text in XSS:
            found = translated(page, text)
            assert found.split() == text.split()
            page.locator(".sentence").first.click()
            page.locator("#edit").wait_for()
            page.click("#code-open")
            assert json.dumps(text, ensure_ascii=False) in page.text_content("#python")
            page.click("#code-close")
        page.evaluate("location.hash = '#/files'")
        name = f"{XSS[1]}.txt".replace("/", "")
        page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": XSS[0].encode()})
        page.locator("#jobs a").wait_for()
        assert "onerror" in page.inner_text("#jobs b")
        page.wait_for_timeout(100)
        assert page.evaluate("window.hit === undefined")
        assert page.locator("#out script, #out img, #jobs img, #detail svg").count() == 0


@pytest.mark.slow
def test_a_file_is_translated_and_keeps_its_form(browser: Any, live: Live, tmp_path: Path) -> None:
    with opened(browser, live.url) as one:
        page = one.open("files")
        page.select_option("#file-from", "en")
        page.select_option("#file-to", "de")
        page.set_input_files("#file", {"name": "plan.txt", "mimeType": "text/plain", "buffer": b"Take one tablet.\n"})
        with page.expect_download() as got:
            page.locator("#jobs a").click()
        got.value.save_as(tmp_path / "plan.de.txt")
        assert got.value.suggested_filename == "plan.de.txt"
        assert (tmp_path / "plan.de.txt").read_text(encoding="utf-8") == "Nehmen Sie eine Tablette.\n"
        assert "1 from the memory" in page.inner_text("#jobs")
        page.set_input_files("#file", {"name": "bad.xliff", "mimeType": "text/xml", "buffer": b"<xliff"})
        problem = page.locator("#jobs .problem")
        problem.wait_for()
        assert "cannot be read" in problem.inner_text()
        assert page.locator("#jobs .job").first.locator("b").inner_text() == "bad.xliff"


@pytest.mark.slow
def test_the_texts_of_json_and_yaml_are_chosen_by_their_keys(browser: Any, live: Live) -> None:
    with opened(browser, live.url) as one:
        page = one.open("files")
        page.select_option("#file-from", "en")
        page.select_option("#file-to", "de")
        page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"Take one tablet."})
        page.locator("#jobs a").wait_for()
        assert page.locator("#file-keys").is_hidden()  # a text has no keys
        data = b'{"title": "Take one tablet.", "id": "Take one tablet."}'
        files = [
            {"name": "a.json", "mimeType": "application/json", "buffer": data},
            {"name": "B.YML", "mimeType": "text/yaml", "buffer": b"title: Take one tablet.\nid: Take one tablet.\n"},
        ]
        page.set_input_files("#file", files)
        page.get_by_label("Keys to translate").fill("title")
        assert page.locator("#jobs a").count() == 1
        page.keyboard.press("Enter")
        wait(page, "document.querySelectorAll('#jobs a').length === 3")
        assert page.locator("#file-keys").is_hidden()
        made = []
        for place in (0, 1):
            with page.expect_download() as got:
                page.locator("#jobs a").nth(place).click()
            made.append(got.value.path().read_bytes())
        wanted = data.replace(b"Take one tablet.", b"Nehmen Sie eine Tablette.", 1)
        assert made == [b"title: Nehmen Sie eine Tablette.\nid: Take one tablet.\n", wanted]
        page.set_input_files("#file", files[:1])
        page.fill("#file-pattern", "tilte")
        page.get_by_role("button", name="Translate").click()
        problem = page.locator("#jobs .problem")
        problem.wait_for()
        assert "No text of the file is under 'keys'" in problem.inner_text()


@pytest.mark.slow
def test_the_key_is_asked_for_once_and_kept_for_the_tab(browser: Any, tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[NullModel()], must_have_key=True)) as live:

        async def make() -> str:
            return live.gateway.keys.create("ada", SCOPES)

        key = live.call(make())
        with opened(browser, live.url) as one:
            page = one.page
            page.goto(live.url)
            page.locator("#key-dialog").wait_for()
            assert "A key is needed" in page.inner_text("#notice")
            page.fill("#key-input", "drg_wrong")
            page.keyboard.press("Enter")
            page.get_by_text("this key is not valid").first.wait_for()
            page.fill("#key-input", key)
            page.keyboard.press("Enter")
            wait(page, "document.querySelector('#key-open').textContent === 'ada'")
            page.select_option("#from", "en")
            assert translated(page, "Hello there.") == "Hello there."
            page.click("#code-open")
            assert "$DRAGOMAN_KEY" in page.inner_text("#curl")
            assert key not in page.content()
            page.click("#code-close")
            page.reload()
            wait(page, "document.querySelector('#key-open').textContent === 'ada'")
            assert page.evaluate("Object.keys(localStorage).join() + document.cookie") == "dragoman.languages"
            assert page.evaluate("sessionStorage.getItem('dragoman.key')") == key


def test_errors_are_shown_in_the_servers_own_words(browser: Any, null: Live) -> None:
    with opened(browser, null.url) as one:
        page = one.open()
        page.evaluate("document.querySelector('#text').value = 'x'.repeat(100001)")
        page.locator("#text").press("Control+Enter")
        page.get_by_text("more than 100,000 characters in one request.").wait_for()


@pytest.mark.slow
def test_right_to_left_texts_and_languages(browser: Any, tmp_path: Path) -> None:
    with (
        living(Gateway(tmp_path, models=[NullModel(directions=("en-ar", "ar-en"))])) as live,
        opened(browser, live.url) as one,
    ):
        page = one.open()
        page.select_option("#from", "ar")
        page.select_option("#to", "en")
        assert page.locator("#text").evaluate("one => one.matches(':dir(rtl)')")  # before anything is typed
        page.select_option("#from", "en")
        page.select_option("#to", "ar")
        translated(page, "تناول قرصين مرتين في اليوم.")
        assert page.locator("#out").evaluate("one => getComputedStyle(one).direction") == "rtl"
        assert page.locator("#text").evaluate("one => one.matches(':dir(rtl)')")


@pytest.mark.slow
def test_everything_is_reached_by_keyboard(browser: Any, null: Live) -> None:
    with opened(browser, null.url) as one:
        page = one.open()
        page.select_option("#from", "en")
        translated(page, "One sentence. Another sentence.")
        for part in PARTS:
            page.evaluate(f"location.hash = '#/{part}'")
            page.wait_for_load_state("networkidle")
            wanted = page.evaluate(REACHABLE)
            page.evaluate("document.activeElement.blur(); document.body.focus()")
            met: set[str] = set()
            for _ in range(2 * len(wanted) + 10):
                page.keyboard.press("Tab")
                met.add(page.evaluate("document.activeElement.dataset.met ?? ''"))
            assert set(wanted) <= met, (part, [wanted[one] for one in set(wanted) - met])
        page.evaluate("location.hash = '#/translate'")
        page.locator(".sentence").nth(1).focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "edit"
        page.keyboard.press("Escape")
        assert page.locator("#detail").is_hidden()
        assert page.evaluate("document.activeElement.className.includes('sentence')")
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_every_control_has_a_name_and_nothing_is_wider_than_a_telephone(browser: Any, null: Live) -> None:
    with opened(browser, null.url, viewport={"width": 360, "height": 740}) as one:
        page = one.open()
        page.select_option("#from", "en")
        translated(page, "A long-winded-and-unbreakable-" + "word" * 40)
        page.locator(".sentence").click()
        for part in PARTS:
            page.evaluate(f"location.hash = '#/{part}'")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, part
            assert not page.evaluate(NAMELESS), part


def test_the_page_asks_no_other_origin_and_runs_no_script_in_its_html(browser: Any, live: Live) -> None:
    with opened(browser, live.url) as one:
        asked: list[str] = []
        one.page.on("request", lambda request: asked.append(request.url))
        page = one.open()
        for part in PARTS:
            page.evaluate(f"location.hash = '#/{part}'")
            page.wait_for_load_state("networkidle")
        assert len(asked) > 5
        assert all(url.startswith(live.url) for url in asked), asked
        page.evaluate(
            "const made = document.createElement('script'); made.textContent = 'window.hit = 1'; document.body.append(made)"
        )
        assert page.evaluate("window.hit === undefined")
        assert "Content Security Policy" in one.faults.pop()
    policy = live.http.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy


def test_every_file_of_the_page_is_served_and_nothing_else(live: Live) -> None:
    folder = live.gateway.page
    served = {one.path for one in page_operations(live.gateway)}
    assert served == {"/", *(f"/page/{path.name}" for path in folder.iterdir())}
    assert live.http.get("/page/../gateway.py").status_code == 404
    assert live.http.get("/page/%2e%2e/gateway.py").status_code == 404
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert " style=" not in text and " onclick=" not in text and "<script>" not in text and "//" not in text
    for path in folder.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert "innerHTML" not in text and "eval(" not in text and "insertAdjacentHTML" not in text, path


@pytest.mark.slow
def test_two_models_are_compared_blind_and_the_preference_is_kept(browser: Any, tmp_path: Path) -> None:
    models = [NullModel(), NullModel("other")]
    with living(Gateway(tmp_path, models=models)) as live, opened(browser, live.url) as one:
        page = one.open("models")

        def answer(route: Any) -> None:  # as of two models that differ
            asked = route.request.post_data_json
            told = {"source_language": "en", "target_language": "de"}
            texts = [{**told, "text": f"{HOSTILE} of {name}"} for name in asked["models"]]
            answers = [{"model": name, "translations": text} for name, text in zip(asked["models"], texts, strict=True)]
            route.fulfill(json={"answers": answers})

        page.route("**/api/translate", answer)
        orders = set()
        for count in range(1, 13):
            page.get_by_label("Text", exact=True).fill("Hello.")
            page.get_by_role("button", name="Translate with both").click()
            page.get_by_text("Translation A").wait_for()
            assert "@" not in "".join(page.locator("#compare .card h3").all_inner_texts())
            page.get_by_role("button", name="A is better").click()
            page.get_by_text("Kept.").wait_for()
            names = page.locator("#compare .card h3").all_inner_texts()
            orders.add(names[0])
            kept = (tmp_path / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
            assert len(kept) == count
            last = json.loads(kept[-1])
            assert last["verdict"] == "first" and names[0] == f"A: {last['first']['model']}"
            assert last["first"]["text"] == f"{HOSTILE} of {last['first']['model']}"
            if len(orders) == 2:
                break
        assert len(orders) == 2, "the same model came first twelve times"
        page.get_by_role("heading", name="Verdicts so far").wait_for()
        assert page.evaluate("window.hit === undefined")


def test_runs_are_drawn_and_read_by_keyboard(browser: Any, null: Live) -> None:
    with opened(browser, null.url) as one:
        page = one.open("runs")
        page.locator("#run-list select").select_option("mixed <i>")
        page.get_by_text("Sample translations over time").wait_for()
        titles = [one.strip() for one in page.locator("#run figcaption").all_inner_texts()]
        assert titles[:3] == ["Loss", "Scores on the development set", "Shares of the mixture"]
        paths = page.locator("#run svg path").evaluate_all("all => all.map((one) => one.getAttribute('d'))")
        assert len(paths) >= 7 and not any("NaN" in path or "Infinity" in path for path in paths)
        page.locator("#run svg").nth(1).focus()
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#run output").nth(1).inner_text() == "step 600: chrF 32.000 · BLEU 5.000"
        page.locator("#run summary").nth(1).click()
        page.locator("#run figure").nth(1).locator("tbody tr").last.wait_for()
        assert page.locator("#run figure").nth(1).locator("tbody tr").count() == 3
        sample = page.locator(".samples").first
        assert HOSTILE in sample.inner_text() and sample.locator("tbody tr").count() == 3
        assert page.locator(".samples").nth(1).locator("tbody tr").count() == 1  # it did not change
        assert page.evaluate("window.hit === undefined")


def test_what_was_met_in_use_is_shown(browser: Any, null: Live) -> None:
    with opened(browser, null.url) as one:
        page = one.open("use")
        page.locator("#monitor table >> nth=0").wait_for()
        assert "400" in page.locator("#monitor .tile").first.inner_text()
        assert "drifted" in page.inner_text("#monitor table >> nth=0")
        assert page.locator("#monitor details").first.get_attribute("open") is None
        assert "zolpirand" in page.inner_text("#monitor .chips")
        assert page.locator("#monitor svg rect").count() == 1


@pytest.mark.slow
def test_keys_are_made_shown_once_and_revoked(browser: Any, tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[NullModel()], must_have_key=True)) as live, opened(browser, live.url) as one:

        async def make() -> str:
            return live.gateway.keys.create("root", SCOPES, characters=1000)

        key = live.call(make())
        page = one.page
        page.goto(f"{live.url}/#/use")
        page.fill("#key-input", key)
        page.keyboard.press("Enter")
        page.get_by_text("Make a key").click()
        page.get_by_label("Name", exact=True).fill(HOSTILE)
        page.get_by_role("button", name="Make it").click()
        made = page.locator("#keys pre")
        made.wait_for()
        answer = live.http.get("/api/usage", headers={"Authorization": f"Bearer {made.inner_text()}"})
        assert answer.json()["name"] == HOSTILE
        row = page.locator("#keys tr", has_text="onerror")
        row.get_by_role("button").click()
        row.get_by_role("button", name="for good").click()
        page.get_by_text("revoked 2").wait_for()
        assert page.locator("#keys pre").count() == 0
        assert page.evaluate("window.hit === undefined")
        assert page.locator("#usage progress").get_attribute("max") == "1000"


# What can be focused or pressed, each marked with a number, by that number.
REACHABLE = """() => {
  const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled;
  const all = [...document.querySelectorAll("a[href], button, select, input, textarea, summary, [tabindex='0'], [role=button]")].filter(shown);
  all.forEach((one, at) => { one.dataset.met = String(at); });
  return Object.fromEntries(all.map((one) => [one.dataset.met, one.outerHTML.slice(0, 120)]));
}"""

NAMELESS = """() => [...document.querySelectorAll("button, select, input, textarea, [role=button], svg[role=img]")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby")))
  .map((one) => one.outerHTML.slice(0, 120))"""

# Texts whose contrast with what is behind them is below WCAG 2.2 AA: 4.5, or 3 for large ones.
CONTRAST = """() => {
  const read = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
  const light = (colour) => colour.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (one) => { // and what is behind that, as far as it can be seen through
    const stack = [];
    for (; one; one = one.parentElement) stack.push(read(getComputedStyle(one).backgroundColor));
    return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    if (!one.checkVisibility({ visibilityProperty: true }) || one.closest(".unseen, .skip, option, noscript")) continue;
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) || one.placeholder;
    if (!own || one.disabled) continue;
    const style = getComputedStyle(one, one.placeholder && !one.value ? "::placeholder" : null);
    const ground = behind(one);
    const svg = one instanceof SVGElement;
    const ink = over(read(svg ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${one.tagName}.${one.getAttribute("class")} ${one.textContent.slice(0, 40)}`);
  }
  return poor;
}"""
