"""What people copy: how to use a running app from programs and on other pages."""

import html
from dataclasses import dataclass

# Stands for the app's address until it is known.
ADDRESS = "https://your-app"


@dataclass(frozen=True)
class Snippet:
    """Code to copy. `key` names its heading among the page's texts, `language` what it is written in."""

    key: str
    language: str
    code: str

    def at(self, address: str) -> str:
        """The code with the app's address in it."""
        return self.code.replace(ADDRESS, address.rstrip("/"))


def program_snippets() -> tuple[Snippet, ...]:
    """How to classify from programs."""
    return (
        Snippet("use_python", "python", _PYTHON),
        Snippet("use_javascript", "javascript", _JAVASCRIPT),
        Snippet("use_curl", "sh", f"curl --data-binary @picture.jpg {ADDRESS}/api/classify\n"),
        Snippet("use_many", "python", _MANY),
    )


def frame_snippet(title: str) -> Snippet:
    """The app in a frame of another page, as high as what it shows."""
    return Snippet("use_embed", "html", _FRAME.format(address=ADDRESS, title=html.escape(title)))


def element_snippet(version: str) -> Snippet:
    """The app as an element of another page, with the script of this `version` of Gradio from the app itself."""
    return Snippet("use_element", "html", _ELEMENT.format(address=ADDRESS, version=html.escape(version)))


_PYTHON = f"""# pip install gradio_client
from gradio_client import Client, handle_file

client = Client("{ADDRESS}")
answer = client.predict(handle_file("picture.jpg"), api_name="/predict")
print(answer["label"])  # "not sure" when it is unlike what the model learned from
"""

_JAVASCRIPT = f"""// npm install @gradio/client
import {{ readFile }} from "node:fs/promises";
import {{ Client }} from "@gradio/client";

const client = await Client.connect("{ADDRESS}");
const picture = new Blob([await readFile("picture.jpg")], {{ type: "image/jpeg" }});
const answer = await client.predict("/predict", [picture]);
console.log(answer.data[0].label);
client.close();
"""

_MANY = f"""from gradio_client import Client, handle_file

files = [handle_file("picture.jpg"), handle_file("pictures.zip")]
answers, table = Client("{ADDRESS}").predict(files, api_name="/classify_batch")
print(answers["results"][0]["label"], table)  # table: the path of a CSV file
"""

_FRAME = """<iframe src="{address}/?embed=1" title="{title}" width="100%" height="640"
  style="border: 0" allow="camera; clipboard-read"></iframe>
<script>
  addEventListener("message", (event) => {{
    for (const frame of document.querySelectorAll("iframe"))
      if (frame.contentWindow === event.source && event.data?.spotterHeight)
        frame.height = event.data.spotterHeight;
  }});
</script>
"""

_ELEMENT = """<script type="module" src="{address}/gradio.js?v={version}"></script>
<gradio-app src="{address}" container="false"></gradio-app>
"""
