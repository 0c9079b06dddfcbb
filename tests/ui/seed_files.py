"""Log one file of each kind. Used by seed.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
import numpy
import pandas

CLIP = Path(__file__).with_name("clip.mp4")
"""Four seconds of ffmpeg's testsrc, 96x64."""

PAGE = """<h1 id='hello'>안녕 HTML</h1><p id='script'>waiting</p><p id='server'>waiting</p>
<script>
document.getElementById('script').textContent = 'script ran';
const show = text => { document.getElementById('server').textContent = text };
const api = '%s/api/2.0/mlflow/experiments/';
fetch(api + 'create', {method: 'POST', mode: 'no-cors', body: '{"name": "made by a page"}'})
  .then(() => fetch(api + 'search?max_results=1'))
  .then(() => show('read'), () => show('out of reach'));
</script>"""
"""An HTML report in UTF-8, without a charset, with an inline script that also tries to write to and read from the API,
as a malicious one would."""


def log_files(frame: pandas.DataFrame) -> None:
    mlflow.log_text("first line\n둘째 줄", "notes/readme.txt")
    mlflow.log_dict({"model": {"layers": [1, 2, 3], "이름": "고양이"}}, "notes/config.json")
    mlflow.log_text("# Title\n\nSome *text*.", "notes/doc.md")
    mlflow.log_text(PAGE % mlflow.get_tracking_uri(), "notes/page.html")
    mlflow.log_image(picture(1), "picture 1.png")
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder, "rows.csv"), index=False)
        Path(folder, "paper.pdf").write_bytes(pdf("Three pages", "Second page", "Third page"))
        mlflow.log_artifacts(folder, "notes")
    mlflow.log_artifact(str(CLIP), "notes")


def picture(step: int) -> numpy.ndarray:
    """Return 90x60 pixels with one, two or three thirds in one of three colours."""
    pixels = numpy.zeros((60, 90, 3), dtype=numpy.uint8)
    pixels[:, : 30 * (step + 1), step] = 220
    return pixels


def pdf(*pages: str) -> bytes:
    """Return a PDF document with one line of text per page."""
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>", font]
    for number, text in enumerate(pages):
        drawing = f"BT /F1 24 Tf 40 100 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream")
    written, starts = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        starts.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{start:010} 00000 n \n" for start in starts)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return written + f"{tail}startxref\n{len(written)}\n%%EOF\n".encode()
