"""An app whose configuration is broken: it stops its own start, as the loop's app does."""


class LoopError(Exception):
    """What the app raises on purpose."""


raise LoopError("loops/x.toml line 3: the landing path has no {site}\n  because: …\n  fix: write {site} into it")
