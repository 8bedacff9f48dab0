"""A real browser without a window: Debian's chromium, driven through selenium, with no way to the network."""

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any, Self

_PATIENCE = 60  # seconds
_CLOSED = "--host-resolver-rules=MAP * ~NOTFOUND"


def missing() -> str:
    """What of a browser is not installed, empty if nothing."""
    names = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return " and ".join(names)


class Browser:
    """One window, which opens one page after the other."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location = shutil.which("chromium") or "chromium"
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", _CLOSED):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver: Any = webdriver.Chrome(options, Service(shutil.which("chromedriver")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def look(self, width: int = 1600, scheme: str = "light") -> None:
        """The width of the window and the colours that the system asks for."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, page: Path, fragment: str = "") -> None:
        """Open a page from disk, and wait until its script has done all."""
        self.driver.get("about:blank")
        self.driver.get(f"{page.resolve().as_uri()}{fragment}")
        self.wait("return document.documentElement.dataset.ready === 'true'")

    def go(self, state: str) -> None:
        """Change the part of the address behind #, as a link does."""
        self.run("location.hash = arguments[0]", f"#{state}")
        self.wait("return location.hash === arguments[0]", f"#{state}")
        time.sleep(0.05)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> Any:
        """Until the script returns something true, which is handed out."""
        end = time.monotonic() + _PATIENCE
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < end, f"still false: {script}; the page says {self.messages()}"
            time.sleep(0.03)
        return value

    def text(self, selector: str) -> str:
        """What is shown of an element."""
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def texts(self, selector: str) -> list[str]:
        return self.run(
            "return Array.from(document.querySelectorAll(arguments[0]), (each) => each.innerText)", selector
        )

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def measured(self, name: str) -> float:
        """A time in milliseconds that the page took of itself."""
        return float(self.run("return document.documentElement.dataset[arguments[0]]", name))

    def messages(self) -> list[str]:
        """Of the console, since they were last asked for."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since this was last asked: blobs and data apart."""
        addresses = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                addresses.append(message["params"]["request"]["url"])
        return [each for each in addresses if not each.startswith(("data:", "blob:"))]

    def print(self) -> bytes:
        """The page as a PDF."""
        answer = self.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        return base64.b64decode(answer["data"])

    def picture(self, path: Path, width: int, height: int) -> None:
        """The first `height` pixels of the page."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        words = {"captureBeyondViewport": True, "clip": clip}
        answer = self.driver.execute_cdp_cmd("Page.captureScreenshot", words)
        path.write_bytes(base64.b64decode(answer["data"]))
