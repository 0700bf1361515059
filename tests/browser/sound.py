"""What a tab sounds, heard without a loudspeaker: the page's own audio, with a mark on <html> while it plays."""

from playwright.async_api import Page, expect

_MARK = """() => {
  const playing = new Set();
  const mark = () => {
    const sounds = [...playing].some((one) => one.context.state === 'running');
    document.documentElement?.setAttribute('data-sounds', String(sounds));
  };
  const gone = (source) => (playing.delete(source), mark());
  const { start } = AudioBufferSourceNode.prototype;
  AudioBufferSourceNode.prototype.start = function (...at) {
    playing.add(this);
    this.addEventListener('ended', () => gone(this));
    this.context.addEventListener('statechange', mark);
    start.apply(this, at);
    mark();
  };
  const { stop } = AudioScheduledSourceNode.prototype;
  AudioScheduledSourceNode.prototype.stop = function (...at) {
    stop.apply(this, at);
    if (at.length === 0) gone(this);
  };
  document.addEventListener('DOMContentLoaded', mark);
}"""


async def listen_to(page: Page) -> None:
    """Before the page is opened."""
    await page.add_init_script(f"({_MARK})()")


async def sounds(page: Page) -> None:
    """Return when it does."""
    await expect(page.locator("html")).to_have_attribute("data-sounds", "true")


async def is_silent(page: Page) -> None:
    """Return when it is."""
    await expect(page.locator("html")).to_have_attribute("data-sounds", "false")
