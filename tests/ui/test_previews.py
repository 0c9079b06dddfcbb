"""Previews of artifacts with active content: HTML with scripts, PDF, video."""

from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Response, expect
from tests.ui.browser import Tab


def artifact_page(seeded: dict[str, Any], path: str) -> str:
    return f"/experiments/{seeded['vision']}/runs/{seeded['showcase']}/artifacts/{path}"


def test_an_html_artifact_runs_its_scripts_without_access_to_the_api(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(artifact_page(seeded, "notes/page.html"))
    frame = tab.page.frame_locator("iframe.mlflow-html-iframe")
    expect(frame.locator("#hello")).to_have_text("안녕 HTML")
    expect(frame.locator("#script")).to_have_text("script ran")
    expect(frame.locator("#server")).to_have_text("out of reach")
    assert tab.page.locator("iframe.mlflow-html-iframe").get_attribute("sandbox") == "allow-scripts"
    tab.settle()
    assert "403 POST /api/2.0/mlflow/experiments/create" in tab.errors
    found = tab.request("experiments/search", {"max_results": 10, "filter": "name = 'made by a page'"})
    assert found.get("experiments", []) == []
    tab.check(allowed=("^403 POST", "from origin 'null' has been blocked", "^failed GET .*/experiments/search"))
    tab.keep_screenshot("artifact-html")


def test_a_pdf_artifact_is_shown_page_by_page(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(artifact_page(seeded, "notes/paper.pdf"))
    expect(tab.page.locator("canvas.react-pdf__Page__canvas")).to_be_visible()
    expect(tab.page.get_by_title("1/3", exact=True)).to_be_visible()
    first = tab.page.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    tab.page.get_by_title("Next Page").click()
    expect(tab.page.get_by_title("2/3", exact=True)).to_be_visible()
    tab.until(lambda: tab.page.locator("canvas").evaluate("canvas => canvas.toDataURL()") != first, True)
    tab.check()
    tab.keep_screenshot("artifact-pdf")


def test_a_video_artifact_plays_and_seeks(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(artifact_page(seeded, "notes/clip.mp4"))
    video = tab.page.locator("video")
    expect(video).to_be_visible()
    tab.until(lambda: video.evaluate("video => [video.readyState, video.videoWidth, video.duration]"), [4, 96, 4])
    assert video.evaluate(PLAY_FROM_THREE) >= 3
    tab.check()
    tab.keep_screenshot("artifact-video")


def test_a_linked_video_is_requested_in_ranges(tab: Tab, seeded: dict[str, Any]) -> None:
    """A report may embed the artifact by its URL, on a page of the same origin."""
    responses: list[Response] = []
    tab.page.on("response", lambda response: responses.append(response) if "clip.mp4" in response.url else None)
    tab.open(f"/experiments/{seeded['vision']}/runs")
    tab.see("14 matching runs")
    query = urlencode({"path": "notes/clip.mp4", "run_uuid": seeded["showcase"]})
    tab.page.evaluate(ADD_VIDEO, f"get-artifact?{query}")
    video = tab.page.locator("video")
    tab.until(lambda: video.evaluate("video => [video.readyState, video.duration]"), [4, 4])
    assert video.evaluate(PLAY_FROM_THREE) >= 3
    assert {response.status for response in responses} == {206}
    assert responses[0].headers["content-type"] == "video/mp4"
    tab.check()


PLAY_FROM_THREE = """video => new Promise((done, failed) => {
  video.muted = true
  video.onerror = () => failed(video.error)
  video.onseeked = () => video.play().catch(failed)
  video.ontimeupdate = () => { if (!video.paused) done(video.currentTime) }
  video.onended = () => done(video.currentTime)
  video.currentTime = 3
})"""
ADD_VIDEO = """source => {
  const video = document.createElement('video')
  video.src = source
  video.preload = 'auto'
  document.body.append(video)
}"""
