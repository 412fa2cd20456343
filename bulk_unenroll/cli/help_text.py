"""What ``--help`` says, ready made: click takes twice the time of the rest of the start to say it.

Equal to what click makes of the commands at 80 columns; a test compares the two.
"""

from typing import Final

USAGE: Final = """\
Usage: bulk-unenroll [OPTIONS] COMMAND [ARGS]...

  Take many customers out of Loyalty+ milestones and streaks, one accountable
  call at a time.

  bulk-unenroll plan customers.csv                    see what a run would do
  bulk-unenroll run customers.csv --sandbox           rehearse it on this machine
  bulk-unenroll run customers.csv --base-url URL      do it
  bulk-unenroll resume customers.unenroll             continue after a stop
  bulk-unenroll retry customers.unenroll --code 310011
  bulk-unenroll serve                                 all of this as a page in a browser

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  codes       Show the code table: what each code means and what to do.
  completion  Print a script that completes commands in SHELL.
  explain     Show every input row and every attempt of one customer.
  export      Write rows to FILE: .csv, .csv.gz, .parquet, .jsonl or .xlsx.
  init        Write a commented job file to begin with.
  job         Run and check jobs that are written as TOML files.
  move        Let the job of a run folder go on in PostgreSQL, for good:...
  peek        Show how INPUT is read: its format, its columns and its first...
  plan        Show what a run of INPUT... would do.
  report      Write a page for people: what happened, and what to do.
  resume      Continue what is confirmed and not settled; needs no input file.
  retry       Reopen failed rows, then continue as resume does.
  run         Plan, confirm, send, record, export.
  sandbox     Run a local fake of the API on 127.0.0.1, for rehearsals.
  serve       Serve a page: drop a file, see the plan, confirm, watch,...
  status      Show the state of a run folder; works while a run is going.
  stop        Stop whoever works in a run folder, cleanly: from any shell...
  verify      Verify the ledger: file integrity, row counts and attempts.
  work        Join the run of a shared job as a further sender, on this...
"""
