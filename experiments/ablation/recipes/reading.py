"""Reading the files of a recipe: what is wrong with one becomes one line that names it, not a traceback."""
import contextlib
import sys


@contextlib.contextmanager
def reading(path):
    """Ends the program with a line that names `path` if the body can't read it, or misses something in it."""
    try:
        yield
    except OSError as error:
        sys.exit(f"{error.filename or path}: {error.strerror}")
    except ValueError as error:  # JSON, TOML and UTF-8 that are none
        sys.exit(f"{path}: {error}")
    except KeyError as error:
        sys.exit(f"{path}: {error} is missing; is it of another version? Run the recipe again")
    except (TypeError, AttributeError, IndexError):
        sys.exit(f"{path}: this is not what pivotal ablate writes; run the recipe again")
