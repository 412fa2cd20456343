"""The page for people: ``bulk-unenroll serve``. It shows, and starts commands; it cannot send.

browser ─▶ app ─▶ gate: who may ask this?
            │ ─▶ uploads, jobs: folders on disk, which are the truth
            │ ─▶ children: a command in a process of its own, which outlives this one
            └─▶ views ─▶ templates: what the files of a job say, in words
"""
