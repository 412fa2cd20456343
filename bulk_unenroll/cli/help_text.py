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
  bulk-unenroll resume customers.unenroll             go on after a stop
  bulk-unenroll retry customers.unenroll --code 310011

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  codes       Show the code table: what each code means and what to do.
  completion  Print what lets SHELL complete commands, options and paths.
  explain     Show every input row and every attempt of one customer.
  export      Write rows to FILE: .csv, .parquet, .jsonl or .xlsx by its...
  init        Write a commented job file to begin with.
  job         Jobs as TOML files: what a command line says, kept under...
  plan        Show what a run of INPUT... would do.
  report      Write one page for people: what happened, what to do, how...
  resume      Go on with what is confirmed and not settled; needs no input...
  retry       Reopen failed rows, then go on as resume does.
  run         Plan, confirm, send, record, export.
  sandbox     Run a local fake of the API on 127.0.0.1, for rehearsals.
  status      Show where a folder stands; works while a run is going.
  verify      Prove the ledger: integrity, conservation, attempts against...
"""
