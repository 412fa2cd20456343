"""The page for people: ``bulk-unenroll serve``. It shows, and starts commands; it cannot send.

browser ─▶ app ─▶ gate: who may ask this?
            └─▶ pages: one module for each page, and what its forms do
                  ├─▶ uploads, jobs: folders on disk, which are the truth
                  ├─▶ starting ─▶ processes: a command in a process of its own, which outlives this
                  └─▶ views ─▶ templates: what the files of a job say, in words
"""
