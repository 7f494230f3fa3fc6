"""The one exception a command raises on purpose."""


class CommandError(Exception):
    """A failure the user can act on; its text is the single line the command prints."""


def reason(error: BaseException) -> str:
    """Say in one line what went wrong.

    Parameters
    ----------
    error : BaseException
        What was raised; an `OSError` is told by the system's own words, without the file's name.

    Returns
    -------
    str
        The text on one line, never empty.
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")
