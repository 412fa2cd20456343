"""``python -m bulk_unenroll``."""

from bulk_unenroll.cli import main

if __name__ == "__main__":
    main()
